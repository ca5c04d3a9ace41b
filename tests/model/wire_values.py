"""Strategies for record values: events as producers write them, damaged in the ways that producers damage them.

Objects are put together from pieces of JSON text, so that they can hold what no encoder writes: duplicate keys, NaN,
numbers of any length, half a surrogate pair. Every string has MARK in it, so that a test can see a value leak.
"""

import json

from hypothesis import strategies as st

MARK = "Zq7"

REQUIRED = {
    "event_id": json.dumps(f"{MARK}-event"),
    "user_id": json.dumps(f"{MARK}-user"),
    "type": '"view"',
    "ts": "1511539217000",
}
OPTIONAL = ("item_id", "category", "price", "quantity", "rating", "text", "anonymous_id", "context", "shoe_size")
FIELDS = (*REQUIRED, *OPTIONAL)

_NUMBERS = (
    "0", "-0", "-0.0", "1", "-1", "01", "1.", ".5", "+1", "1e3", "1E3", "1e999", "-1e999", "1e-400", "0.1", "NaN",
    "Infinity", "-Infinity", "9007199254740993", "946684799999", "946684800000", "4102444799999", "4102444800000",
    "1511539217000", "1511539217000.0", "1511539217000.5", "1.511539217e12", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "-9223372036854775809", "123456789012345678901234567890",
    "0.1234567890123456789012345678901234567890",
)  # fmt: skip
_TIMES = (
    "2017-11-24T16:00:17Z", "2017-11-24T16:00:17+02:00", "2017-11-24T16:00:17.25-08:00", "2017-11-24T16:00:17",
    "2017-11-24", "1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
    "3000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2017-11-24T16:00:60Z", "1511539217000", "yesterday",
)  # fmt: skip
_WORDS = (
    "",
    "view",
    "purchase",
    "identify",
    "wave",
    "\x7f",
    "{[" * 40,
    "}\n{",
    '"}{"',
    "\ud800",
    "\udc00\ud800",
    "ü" * 512,
)

_words = st.text(max_size=6) | st.sampled_from(_WORDS)
strings = st.builds(lambda word, marked: json.dumps(MARK + word if marked else word), _words, st.booleans())
_unescaped = _words.filter(lambda word: word.isprintable()).map(lambda word: json.dumps(word, ensure_ascii=False))
_odd_strings = st.sampled_from(
    ['"\t"', '"\\q"', '"\\ud800"', '"\\uD83D\\uDE00"', '"\\u00"', '"open', "'one'", '"\x00"']
)
_numbers = st.sampled_from([*_NUMBERS, "7" * 400, "-" + "7" * 400]) | st.integers().map(str) | st.floats().map(repr)
_nested = st.builds(
    lambda depth, open_, close: open_ * depth + close * depth,
    st.sampled_from([1, 63, 64, 1000]),
    st.just("["),
    st.just("]"),
)
_others = st.sampled_from(
    ["true", "false", "null", "[]", "{}", '{"a":{"b":[1,NaN]}}', "[NaN]", "[1,]", "nul", "", "/**/1"]
)
literals = st.one_of(
    strings, _unescaped, _numbers, _others, _nested, _odd_strings, st.sampled_from(_TIMES).map(json.dumps)
)  # fmt: skip
_names = st.sampled_from(FIELDS) | st.just("user\\u005fid") | st.just("\\ud800") | st.just("x\\q")
_plausible = {
    "item_id": strings | _unescaped,
    "category": strings,
    "price": st.floats(0, 1e9).map(repr) | st.integers(0, 10**6).map(str),
    "quantity": st.integers(1, 9).map(str),
    "text": strings | _unescaped,
    "context": st.just('{"device":"phone"}') | strings.map(lambda text: f'{{"channel":{text}}}') | _others,
    "ts": st.integers(946684800000, 4102444799999).map(str) | st.just('"2017-11-24T16:00:17Z"'),
    "anonymous_id": _unescaped | st.just(REQUIRED["user_id"]),
    "event_id": _unescaped,
    "type": _unescaped | st.just('"identify"'),
}


def _written(fields: list[tuple[str, str]], space: str) -> str:
    return "{" + f",{space}".join(f'"{name}":{space}{literal}' for name, literal in fields) + "}"


@st.composite
def objects(draw):
    """An event as text: some optional fields, and often one field that is odd, missing or given twice."""
    fields = dict(REQUIRED) | draw(st.fixed_dictionaries({}, optional=_plausible))
    oddity = draw(st.sampled_from(["none", "odd", "odd", "missing", "twice"]))
    if oddity == "odd":
        fields[draw(st.sampled_from(FIELDS))] = draw(literals)
    if oddity == "missing":
        fields.pop(draw(st.sampled_from(FIELDS)), None)
    pairs = list(fields.items())
    if oddity == "twice":
        pairs.append((draw(_names), draw(literals)))
    return _written(draw(st.permutations(pairs)), draw(st.sampled_from(["", "", " ", "\n  "])))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@st.composite
def _damaged(draw):
    """Bytes cut, doubled, or with something put in between."""
    value = draw(objects().map(_bytes))
    at = draw(st.integers(0, len(value)))
    until = draw(st.integers(at, min(len(value), at + 3)))
    between = draw(
        st.sampled_from(
            [
                b"",
                b"\n",
                b"\r",
                b"}\n{",
                b'"',
                b"\xff",
                b"\xc3",
                b"\xed\xa0\x80",
                b"\xef\xbb\xbf",
                b"{",
                b"}",
                b"\\",
                b"\x00",
            ]
        )
    )
    return value[:at] + between + value[until:]


_texts = objects().map(_bytes)
values = st.one_of(
    *[_texts] * 4,
    _damaged(),
    st.tuples(_texts, st.sampled_from([b"", b" ", b"\n"]), _texts).map(b"".join),
    st.tuples(
        st.sampled_from([b"", b" ", b"\r\n", b"\xef\xbb\xbf"]), _texts, st.sampled_from([b"", b"\n", b"\x00"])
    ).map(b"".join),
    st.sampled_from([None, b"", b" \n", b"null", b"[]", b"1", b"{}", b"{", b"}", b"\xff", b"[" * 1000, b'"\\\\']),
    st.binary(max_size=20),
)
"""One record's value."""
