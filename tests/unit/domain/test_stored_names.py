"""Stored names: a name is learned where its token is counted, in any spelling."""

import pytest

from stream_persona.domain.slots import slot_of
from stream_persona.domain.stored_names import learn_stored
from stream_persona.domain.token_names import TokenNames

ACME = slot_of("brand:acme", fine=False)


@pytest.mark.parametrize("shown", ["brand:acme", "brand:ACME", "brand: Acme "])
def test_a_name_is_learned_in_the_spelling_in_which_it_came(shown: str) -> None:
    names = TokenNames()
    assert learn_stored(names, ACME, shown)
    assert names.name(ACME) == shown
    assert not learn_stored(names, ACME, "brand:AcMe")


def test_a_name_of_before_spellings_were_compared_stays_at_its_slot() -> None:
    names, former = TokenNames(), slot_of("brand:ACME", fine=False)
    assert learn_stored(names, former, "brand:ACME")
    assert not learn_stored(names, former + 1, "brand:ACME")
