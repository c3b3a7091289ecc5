import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lm.shards.personal_data import CARD, EMAIL, PHONE, mask, passes_luhn

CARDS = ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117"]
PHONES = [
    "+1 212 555 0123",
    "+49 (30) 1234-5678",
    "+442079460958",
    "+33 1 23 45 67 89",
    "(212) 555-0123",
    "212-555-0123",
    "212.555.0123",
    "1-212-555-0123",
    "020 7946 0958",
    "030/12345678",
    "(0800) 123 4567",
]
EMAILS = [
    "ada@example.com",
    "ada.lovelace+list@mail.example.co.uk",
    "a_b%c-d@x-y.museum",
    "1@2.info",
]
# Numbers and signs that are no personal data.
OTHERS = [
    "4111111111111112",  # fails Luhn's check
    "9780306406157",  # an article number
    "978-0-306-40615-7",
    "1700000000000",  # milliseconds
    "41111111111111111111111",  # too long
    "0.4111111111111111",  # a fraction
    "192.168.100.100",
    "2026-11-27",
    "27.11.2026",
    "01-02-2003",
    "12:30:45",
    "3.14159265358979",
    "2125550123",
    "x+12345678901",
    "10,000,000,000",
    "user@localhost",
    "@decorator",
    "a @ b.c",
    "x@y",
    "1000-2000-3000",
    "chapter 1 2 3 4 5 6 7 8 9",
    "v2.0.1-rc1+20130313144700",
]


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("between", ["", " ", "-"])
def test_cards_are_masked(card, between):
    parts = [card[i : i + 4] for i in range(0, len(card), 4)]
    text, found = mask(f"pay with {between.join(parts)}, please")
    assert (text, found) == (f"pay with {CARD}, please", (0, 1, 0))


@pytest.mark.parametrize("phone", PHONES)
def test_phone_numbers_are_masked(phone):
    assert mask(f"Call {phone}.") == (f"Call {PHONE}.", (0, 0, 1))


@pytest.mark.parametrize("email", EMAILS)
def test_addresses_are_masked(email):
    assert mask(f"<{email}>, or {email}.") == (f"<{EMAIL}>, or {EMAIL}.", (2, 0, 0))


@pytest.mark.parametrize("text", OTHERS)
def test_what_merely_looks_like_it_stays(text):
    assert mask(f"It is {text} here") == (f"It is {text} here", (0, 0, 0))


def test_scripts_without_spaces_do_not_hide_numbers():
    text = "电话+8613812345678，邮箱ada@example.com。卡4111111111111111号"
    assert mask(text)[0] == f"电话{PHONE}，邮箱{EMAIL}。卡{CARD}号"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Nd"], exclude_characters="@")))
def test_text_without_digits_and_at_signs_stays(text):
    assert mask(text) == (text, (0, 0, 0))


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789 -+().@ab\n<>")))
def test_masking_a_second_time_finds_nothing_new(text):
    once, _ = mask(text)
    assert mask(once) == (once, (0, 0, 0))


words = st.text(st.sampled_from("abc ,.;\n"), max_size=20).map(lambda text: f" {text} ")
names = st.from_regex(r"[a-z0-9_%+]([a-z0-9._%+-]{0,10}[a-z0-9_%+])?", fullmatch=True)
domains = st.from_regex(r"([a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?\.){1,3}[a-z]{2,6}", fullmatch=True)


@settings(deadline=None)
@given(words, names, domains, words)
def test_addresses_are_found_in_any_text_and_nothing_else_is_lost(before, name, domain, behind):
    assert mask(f"{before}{name}@{domain}{behind}")[0] == f"{before}{EMAIL}{behind}"


@settings(deadline=None)
@given(words, st.from_regex(r"(4|5[1-5])[0-9]{14}", fullmatch=True), words)
def test_of_ten_last_digits_one_makes_a_card(before, digits, behind):
    digits = digits[:15]
    masked = [mask(f"{before}{digits}{i}{behind}")[0] for i in range(10)]
    assert masked.count(f"{before}{CARD}{behind}") == 1
    assert [text for text in masked if CARD not in text] == [
        f"{before}{digits}{i}{behind}" for i in range(10) if not passes_luhn(f"{digits}{i}")
    ]


@pytest.mark.parametrize("unit", ["a.", "a-", "1 ", "1-", "0 123 ", "+1", "a@", "a@b.", "(0"])
def test_long_runs_take_linear_time(unit):
    assert mask(unit * 50_000)[0]  # a quadratic expression would take minutes
