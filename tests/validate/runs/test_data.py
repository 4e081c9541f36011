"""The generated data of the tasks against independent definitions; no PyTorch."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from scipy.stats import chi2

from spectral_edge.validate.runs.tasks import dyck, scan
from spectral_edge.validate.runs.tasks.dyck import DyckConfig
from spectral_edge.validate.runs.tasks.language import LanguageConfig, text
from spectral_edge.validate.runs.tasks.scan import ScanConfig
from tests.reference.scan_interpreter import interpret


def test_scan_has_the_published_number_of_commands() -> None:
    assert len(scan.commands()) == 20_910
    assert max(len(command.split()) for command in scan.commands()) == scan.LONGEST_COMMAND
    assert max(map(len, scan.commands().values())) == scan.LONGEST_ACTIONS


def test_every_scan_command_means_what_a_second_interpreter_says() -> None:
    for command, actions in scan.commands().items():
        assert list(actions) == interpret(command), command


@pytest.mark.parametrize(
    ("command", "actions"),  # from the published description of the rules
    [
        ("jump", "JUMP"),
        ("jump left", "LTURN JUMP"),
        ("jump around right", "RTURN JUMP RTURN JUMP RTURN JUMP RTURN JUMP"),
        ("turn left twice", "LTURN LTURN"),
        ("jump thrice", "JUMP JUMP JUMP"),
        ("jump opposite left and walk thrice", "LTURN LTURN JUMP WALK WALK WALK"),
        ("jump opposite left after walk around left",
         "LTURN WALK LTURN WALK LTURN WALK LTURN WALK LTURN LTURN JUMP"),
    ],
)  # fmt: skip
def test_published_scan_examples(command: str, actions: str) -> None:
    assert scan.commands()[command] == tuple(actions.split())


def test_dyck_words_are_balanced_different_and_decided_by_the_seed() -> None:
    drawn = dyck.words(250, 12, seed=42)
    assert len(set(drawn)) == 250
    for word in drawn:
        while "()" in word:  # cancel pairs until nothing is left
            word = word.replace("()", "")
        assert word == ""
    assert max(map(len, drawn)) == 24
    assert dyck.words(250, 12, seed=42) == drawn
    assert dyck.words(250, 12, seed=137) != drawn


def test_depths_recomputed() -> None:
    for word in dyck.words(100, 12, seed=0):
        for index, depth in enumerate(dyck.depths(word)):
            assert depth == word[: index + 1].count("(") - word[: index + 1].count(")")
            assert depth >= 0


def test_words_of_one_length_are_equally_likely() -> None:
    """Catalan(4) = 14 words; chi-square at 0.1 %, and it rejects a walk that turns by a fair coin."""
    n, words = 7_000, 14
    random = Random(0)

    def statistic(draw: list[str]) -> float:
        counts = Counter(draw)
        assert len(counts) == words
        return float(sum((c - n / words) ** 2 for c in counts.values()) / (n / words))

    def coin() -> str:
        word, height, left = "", 0, 4
        while len(word) < 8:
            up = left > 0 and (height == 0 or random.random() < 0.5)
            word, height, left = word + (")", "(")[up], height + (1 if up else -1), left - up
        return word

    limit = chi2.isf(1e-3, words - 1)
    assert statistic([dyck.word(4, random) for _ in range(n)]) < limit
    assert statistic([coin() for _ in range(n)]) > limit


def test_too_many_words_are_refused() -> None:
    with pytest.raises(ValueError, match="max_pairs must allow 9 different words, got 3"):
        dyck.words(9, 3, seed=0)  # there are 1 + 2 + 5
    assert len(dyck.words(8, 3, seed=0)) == 8


def test_text_is_english_and_fingerprinted() -> None:
    letters = Counter(text().lower())
    assert letters["e"] > letters["z"] > 0
    card = LanguageConfig().card()
    assert card["text_length"] == len(text())
    assert np.array_equal(list(card["text_sha256"]), list(LanguageConfig(seed=1).card()["text_sha256"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScanConfig(train_commands=20_900), "train_commands must be between 1 and 20654"),
        (lambda: ScanConfig(examined_commands=4_000), "examined_commands must"),
        (lambda: DyckConfig(max_pairs=0), "max_pairs must be at least 1, got 0"),
        (lambda: DyckConfig(heads=3), "d_model must be a multiple of heads = 3, got 128"),
        (lambda: DyckConfig(optimizer="SGD"), "optimizer must be one of AdamW, Muon, got 'SGD'"),
        (lambda: LanguageConfig(test_share=1.0), "test_share must lie between 0 and 1, got 1.0"),
        (lambda: LanguageConfig(learning_rate=0.0), "learning_rate must be positive"),
        (lambda: LanguageConfig(record_every=0), "record_every must be at least 1"),
    ],
)
def test_bad_configurations(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
