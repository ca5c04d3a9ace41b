"""Google's product feed as XML: RSS 2.0 or Atom, with what describes a product in the namespace `g:`.

https://support.google.com/merchants/answer/7052112 says what the fields mean. The file is a stranger's: nothing outside
it is fetched, entities that it defines are refused, and memory does not grow with it.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final
from xml.parsers import expat

from model.items.rows import KNOWN
from service.errors import FormatError

_GOOGLE: Final = "http://base.google.com/ns/1.0"
_PRODUCTS: Final = ("item", "entry")
_CHUNK_BYTES: Final = 1 << 16
_MAX_TAG_BYTES: Final = 1 << 20
"""A tag is held in memory until it ends."""
_MAX_FIELD_CHARACTERS: Final = 1 << 17
"""The rest of a longer field is left out."""

Row = tuple[int, dict[str, object]]
"""The line on which a product begins, and its fields by name."""


class _Products:
    """Collects the fields of products while a parser goes through the file."""

    def __init__(self, parser: expat.XMLParserType, name: str) -> None:
        self.found: list[Row] = []
        self._parser = parser
        self._name = name
        self._depth = 0
        self._product_depth = 0
        """0 outside a product."""
        self._line = 0
        self._fields: dict[str, object] = {}
        self._googles: dict[str, object] = {}
        """Those in Google's namespace, which say more than RSS's or Atom's of the same name."""
        self._field = ""
        self._is_googles = False
        self._parts: list[str] = []
        self._characters = 0
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters_of
        parser.EntityDeclHandler = self._refuse_entity

    def _start(self, name: str, _attributes: object) -> None:
        self._depth += 1
        namespace, _, local = name.rpartition(" ")
        if not self._product_depth and local in _PRODUCTS:
            self._product_depth, self._line = self._depth, self._parser.CurrentLineNumber
            self._fields, self._googles = {}, {}
        elif self._depth == self._product_depth + 1 and local in KNOWN:
            self._field, self._is_googles = local, namespace == _GOOGLE
            self._parts, self._characters = [], 0

    def _characters_of(self, text: str) -> None:
        if self._field and self._characters < _MAX_FIELD_CHARACTERS:
            self._parts.append(text)
            self._characters += len(text)

    def _end(self, _name: str) -> None:
        if self._depth == self._product_depth:
            self.found.append((self._line, {**self._fields, **self._googles}))
            self._product_depth = 0
        elif self._field and self._depth == self._product_depth + 1:
            fields = self._googles if self._is_googles else self._fields
            fields.setdefault(self._field, "".join(self._parts))  # of product types the first is the main one
            self._field = ""
        self._depth -= 1

    def _refuse_entity(self, *_: object) -> None:
        raise FormatError(f"{self._name} defines entities in line {self._parser.CurrentLineNumber}: remove its DTD")


def read_products(file: BinaryIO, name: str) -> Iterator[Row]:
    """Yield the products of an XML feed; raises FormatError where it is no XML any more, or none of Google's."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    products = _Products(parser, name)
    read_bytes, is_last = 0, False
    while not is_last:
        chunk = file.read(_CHUNK_BYTES)
        is_last = not chunk
        try:
            parser.Parse(chunk, is_last)
        except expat.ExpatError as failure:
            yield from products.found
            raise FormatError(
                f"{name} is damaged in line {failure.lineno}: {expat.ErrorString(failure.code)}; "
                "what comes behind cannot be read: fetch it again"
            ) from None
        yield from products.found
        products.found.clear()
        read_bytes += len(chunk)
        if read_bytes - max(parser.CurrentByteIndex, 0) > _MAX_TAG_BYTES:
            line = parser.CurrentLineNumber
            raise FormatError(f"{name} has a tag of more than {_MAX_TAG_BYTES:,} bytes in line {line}")
