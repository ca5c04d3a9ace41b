"""The pages and what stands around them: navigation, and what a reader sees when something is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.bar import Asked
from dashboard.cards import STYLE, escaped
from dashboard.missing import explained
from dashboard.pages import conversion, items, model, overview, pipeline, shoppers

ICON: Final = Path(__file__).with_name("entry") / "icon.svg"
"""Of our own: Streamlit loads its icons for tabs from elsewhere."""


def show() -> None:
    """Show the page that the URL names."""
    st.set_page_config(page_title="Cartcast", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    bodies: dict[str, Callable[[], None]] = {
        "": overview.page,
        "conversion": conversion.page,
        "shoppers": shoppers.page,
        "items": items.page,
        "model": model.page,
        "pipeline": pipeline.page,
    }
    pages = [
        st.Page(overview.page, title="Overview", icon=":material/monitoring:", default=True),
        st.Page(conversion.page, title="Conversion", icon=":material/filter_alt:", url_path="conversion"),
        st.Page(shoppers.page, title="Shoppers", icon=":material/groups:", url_path="shoppers"),
        st.Page(items.page, title="Items", icon=":material/sell:", url_path="items"),
        st.Page(model.page, title="Model", icon=":material/target:", url_path="model"),
        st.Page(pipeline.page, title="Pipeline", icon=":material/conversion_path:", url_path="pipeline"),
    ]
    chosen = st.navigation(pages, position="top")
    framed(bodies[chosen.url_path])


def framed(page: Callable[[], None]) -> None:
    """Show a page, or in its place an explanation of what is missing.

    The page is called from here and not by Streamlit's `Page.run`, so that its filters keep their values on the next.
    """
    asked = Asked()
    with explained():
        page()
    if refused := asked.refused():
        names = ", ".join(escaped(name[:40]) for name in refused[:5])
        st.toast(f"The address asks for something that this page does not know ({names}): shown without it.")
