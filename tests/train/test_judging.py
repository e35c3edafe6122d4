"""Models are judged in eval mode, and are in the modes they were in afterwards."""

from __future__ import annotations

from torch import nn

from slalom.train.models import judging


class Told(nn.Linear):
    """Has something to say about its mode, as models that freeze parts of themselves do."""

    def train(self, mode: bool = True) -> Told:
        self.told = [*getattr(self, "told", []), mode]
        return super().train(mode)


def test_modes_are_as_they_were() -> None:
    for last in (nn.Linear(4, 2), Told(4, 2)):
        model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Sequential(nn.BatchNorm1d(4)), last)
        model[2].eval()
        before = [part.training for part in model.modules()]
        assert sorted(set(before)) == [False, True]
        try:
            with judging([model]):
                assert not any(part.training for part in model.modules())
                raise KeyError
        except KeyError:
            pass
        assert [part.training for part in model.modules()] == before


def test_who_has_something_to_say_about_its_mode_is_told() -> None:
    model = nn.Sequential(Told(4, 2))
    with judging([model]):
        assert model[0].told == [False]
    assert model[0].told == [False, True]
