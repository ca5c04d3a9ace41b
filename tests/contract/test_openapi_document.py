"""docs/api.md names every path, field and code of the OpenAPI document, which docs/contracts/openapi.json holds."""

from pathlib import Path

import pytest

from streams.lookups.openapi import openapi_document

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("path", openapi_document()["paths"])
def test_every_path_is_explained(path):
    assert path in (DOCS / "api.md").read_text()


@pytest.mark.parametrize("schema", ["Shopper", "ShopperExplanation", "Attribution", "StoredEvent", "AsOf", "Item"])
def test_every_field_is_explained(schema):
    page = (DOCS / "api.md").read_text()
    for field in openapi_document()["components"]["schemas"][schema]["properties"]:
        assert f"`{field}`" in page or f'"{field}"' in page, field
