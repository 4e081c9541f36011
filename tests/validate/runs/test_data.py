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
    assert max(len(command.split()) for command in scan.commands()) == scan.SOURCE - 2
    assert max(map(len, scan.commands().values())) == scan.TARGET - 2


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


def law(pairs: int, probability: float) -> dict[str, float]:
    """Every word of so many pairs with its probability, by the tree of choices."""
    found: dict[str, float] = {}

    def grow(word: str, weight: float) -> None:
        opened, closed = word.count("("), word.count(")")
        if closed == pairs:
            found[word] = weight
        elif opened == pairs:
            grow(word + ")", weight)
        elif opened == closed:
            grow(word + "(", weight)
        else:
            grow(word + "(", weight * probability)
            grow(word + ")", weight * (1 - probability))

    grow("", 1.0)
    return found


def test_dyck_words_are_balanced_and_the_same_for_every_seed() -> None:
    train, test = dyck.words(DyckConfig())
    assert (len(train), len(test)) == (50, 5_000)
    for word in train + test:
        while "()" in word:  # cancel pairs until nothing is left
            word = word.replace("()", "")
        assert word == ""
    assert max(map(len, test)) == 24
    assert dyck.words(DyckConfig(seed=7)) == (train, test)
    assert dyck.words(DyckConfig(data_seed=1)) != (train, test)


def test_lengths_of_dyck_words_are_equally_likely() -> None:
    counts = Counter(len(word) // 2 for word in dyck.words(DyckConfig())[1])
    assert set(counts) == set(range(1, 13))
    assert sum((count - 5_000 / 12) ** 2 for count in counts.values()) * 12 / 5_000 < chi2.isf(1e-3, 11)


def test_dyck_words_follow_the_law_of_the_recipe() -> None:
    """Catalan(4) = 14 words; chi-square at 0.1 %, which rejects a fair coin and words drawn with equal weight."""
    random = Random(0)
    drawn = Counter(dyck.word(4, 0.55, random) for _ in range(7_000))

    def statistic(expected: dict[str, float]) -> float:
        assert drawn.keys() <= expected.keys()
        return sum((drawn[word] - 7_000 * p) ** 2 / (7_000 * p) for word, p in expected.items())

    limit = chi2.isf(1e-3, 13)
    assert len(law(4, 0.55)) == 14
    assert statistic(law(4, 0.55)) < limit
    assert statistic(law(4, 0.50)) > limit
    assert statistic(dict.fromkeys(law(4, 0.5), 1 / 14)) > limit


def test_half_of_what_dyck_asks_was_seen_in_training() -> None:
    """About 26 % of the test words equal a training word and 51 % of the brackets end a start of one."""
    words_known, starts_known = [], []
    for seed in range(20):
        train, test = dyck.words(DyckConfig(data_seed=seed, test_words=1_000))
        starts = {word[:end] for word in train for end in range(1, len(word) + 1)}
        known = [word[:end] in starts for word in test for end in range(1, len(word) + 1)]
        words_known.append(np.mean([word in train for word in test]))
        starts_known.append(np.mean(known))
    assert np.mean(words_known) == pytest.approx(0.26, abs=0.02)
    assert np.mean(starts_known) == pytest.approx(0.51, abs=0.02)


def test_depths_recomputed() -> None:
    for word in dyck.words(DyckConfig(test_words=100))[1]:
        for index, depth in enumerate(dyck.depths(word)):
            assert depth == word[: index + 1].count("(") - word[: index + 1].count(")")
            assert depth >= 0


def test_text_is_english_and_fingerprinted() -> None:
    letters = Counter(text().lower())
    assert letters["e"] > letters["z"] > 0
    card = LanguageConfig().card()
    assert card["text_length"] == len(text())
    assert np.array_equal(list(card["text_sha256"]), list(LanguageConfig(seed=1).card()["text_sha256"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScanConfig(train_commands=20_900), "train_commands must be between 1 and 20410"),
        (lambda: ScanConfig(examined_commands=4_000), "examined_commands must"),
        (lambda: DyckConfig(max_pairs=0), "max_pairs must be at least 1, got 0"),
        (lambda: DyckConfig(positions=23), "positions must be at least 24, got 23"),
        (lambda: DyckConfig(open_probability=1.0), "open_probability must lie between 0 and 1, got 1.0"),
        (lambda: DyckConfig(variant="copy"), "variant must be one of"),
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
