"""Texts that a tokenizer meets once in a while: every plane, marks, controls, spaces, joiners."""

from hypothesis import strategies as st

# Blocks in which something happens to a character, so that draws meet there.
BLOCKS = [
    range(0xA0),
    range(0xA0, 0x250),
    range(0x300, 0x370),
    range(0x370, 0x600),
    range(0x8D0, 0x980),  # new Arabic marks; Devanagari with U+096C
    range(0x1100, 0x1200),
    range(0x1AB0, 0x1B00),
    range(0x1DC0, 0x2000),
    range(0x2000, 0x2100),
    range(0x2E80, 0x3100),
    range(0x4E00, 0x4E20),
    range(0xAC00, 0xAC80),
    range(0xF900, 0xFB00),
    range(0xFE00, 0x10000),
    range(0x10F40, 0x10F60),
    range(0x1D150, 0x1D1B0),
    range(0x1E8D0, 0x1E8E0),
    range(0x1F300, 0x1F700),
    range(0x20000, 0x20010),
    range(0x2F800, 0x2FA20),
    range(0xE0000, 0xE01F0),
]
SPACES = "\t\n\x0b\x0c\r\x1c\x1f \x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f"
_SNIPPETS = [
    "hello",
    "UNAFFABLE",
    "naïve",
    "don't",
    "##ing",
    "İstanbul",
    "Σίσυφος",
    "的日",
    "한국어",
    "\u1112\u1161\u11ab",
    "👩\u200d👩\u200d👧",
    "\u096c",
    "x" * 101,
    "é" * 100,
    "\u3000",
    "\ufeff",
    "a\u0334\u0301\U0001d165",
    *SPACES,
]
_EVERY = st.characters(exclude_categories=["Cs"])
_FROMBLOCKS = st.one_of([st.sampled_from(block) for block in BLOCKS]).map(chr)

TEXT = st.lists(
    st.one_of(_FROMBLOCKS, _FROMBLOCKS, st.sampled_from(_SNIPPETS), _EVERY), max_size=20
).map("".join)
BYTES = st.lists(
    st.one_of(TEXT.map(str.encode), st.binary(max_size=6), st.just(b"\xe2\x82"), st.just(b"ab"))
).map(b"".join)
# Marks of several classes that survive stripping, that do not, and what keeps them apart.
MARKS = st.text(
    "a\x0b\u0334\u0301\u0344\u034f\u08d3\u0f73\u1df6\u1dfa\U00010f46\U0001d15f\U0001d165\U0001d16d",
    max_size=12,
)
