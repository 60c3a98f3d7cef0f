import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.errors import UnreadableLedger
from flowlag.ledger import END, HEADER, OUTCOMES, SENT, Ledger, LedgerEntry, parse_ledger
from flowlag.stamp import due_ns, encode


@st.composite
def entries(draw: st.DrawFn) -> tuple[LedgerEntry, ...]:
    """Consecutive ticks, each with any outcome."""
    first = draw(st.integers(0, 2**36))
    outcomes = draw(st.lists(st.sampled_from(OUTCOMES), max_size=20))
    return tuple(
        LedgerEntry(tick, encode(tick), draw(st.integers(0, 2**63)) if outcome == SENT else None, outcome)
        for tick, outcome in enumerate(outcomes, start=first)
    )


def text_of(lines: tuple[LedgerEntry, ...], *last: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *(entry.line() for entry in lines), *last))


@given(entries())
def test_a_closed_ledger_is_read_as_it_was_written(written: tuple[LedgerEntry, ...]) -> None:
    assert parse_ledger(text_of(written, END)) == Ledger(written, closed=True)


@given(entries(), st.data())
def test_a_ledger_cut_anywhere_keeps_every_whole_line_and_is_not_closed(
    written: tuple[LedgerEntry, ...], data: st.DataObject
) -> None:
    text = text_of(written, END)
    cut = text[: data.draw(st.integers(len(HEADER), len(text) - 1))]
    whole_entries = max(cut.count("\n") - 1, 0)
    assert parse_ledger(cut) == Ledger(written[:whole_entries], closed=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a ledger begins with 'tick,srcport,sent_ns,outcome', this one with ''"),
        ('"Epoch_Time","Date_Time"\n', 'this one with \'"Epoch_Time","Date_Time"\''),
        (f"{HEADER}\n7,7,7\n", "line 2 of the ledger is not an entry: '7,7,7'"),
        (f"{HEADER}\n7,7,,missed\nseven,7,,missed\n", "line 3 of the ledger is not an entry: 'seven,7,,missed'"),
        (f"{HEADER}\n7,7,,missed\n7,7,,lost\n", "line 3 of the ledger has the unknown outcome 'lost'"),
        (f"{HEADER}\n{END}\n7,7,,missed\n", "line 2 of the ledger is not an entry: 'end'"),
        (f"{HEADER}\n7,7,,sent\n", "line 2 of the ledger contradicts itself: '7,7,,sent'"),
        (f"{HEADER}\n7,7,7,missed\n", "line 2 of the ledger contradicts itself: '7,7,7,missed'"),
        (f"{HEADER}\n7,8,,missed\n", "line 2 of the ledger contradicts itself: '7,8,,missed'"),
        (f"{HEADER}\n{'9' * 5_000},7,,missed\n", f"line 2 of the ledger is not an entry: '{'9' * 60}'"),
    ],
)
def test_what_is_not_a_ledger_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(UnreadableLedger, match=reason):
        parse_ledger(text)


@given(st.integers(0, 2**33), st.integers(1, 10), st.integers(-(10**9), 10**12))
def test_lateness_is_seconds_since_the_tick_was_due_and_negative_where_early(
    tick: int, rate: int, late: int
) -> None:
    entry = LedgerEntry(tick, encode(tick), due_ns(tick, rate) + late, SENT)
    assert entry.lateness_s(rate) == late / 1e9


def test_a_probe_that_was_not_sent_has_no_lateness() -> None:
    assert LedgerEntry(7, 7, None, "missed").lateness_s(1) is None
