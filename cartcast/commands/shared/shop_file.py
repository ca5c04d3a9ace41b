"""The file that defines a shop: `shop.yml`."""

from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import UsageError

if TYPE_CHECKING:
    from model.shop import Shop


def read_shop(path: Path | None) -> "Shop":
    """Return the shop that a file defines, that of none without a file; raises UsageError with the place of a fault."""
    from cartcast.settings.sources import read_yaml
    from model.shop import Shop, ShopError, shop_of

    if path is None:
        return Shop()
    try:
        return shop_of(read_yaml(path, "shop file", "--shop"))
    except ShopError as failure:
        raise UsageError(f"{path}: {failure}") from None
