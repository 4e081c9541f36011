"""What users bring: every line that once went wrong, what is wanted of it, and the tests that hold it.

A: was silently wrong; B: was refused, or crashed; C: was missing. A line stands for its kind. Who mends one of these
kinds finds here what holds it; a test that is renamed or deleted has to be named anew.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GRAM, TORCH, REFEREE = "validate/gram", "torch/gram", "validate/referee"
STEPS, TENSORS, SAFE = (
    f"{GRAM}/test_{name}.py" for name in ("checkpoint_steps", "checkpoint_tensors", "recordings_are_safe")
)
STATES, SHARDED, CALLBACKS, TRAINABLE = (
    f"{TORCH}/test_{name}.py" for name in ("states", "sharded", "callbacks", "trainable")
)
FRAMEWORKS, PAGES, PROBES = (
    f"{TORCH}/test_{name}.py" for name in ("framework_checkpoints", "pages", "probes")
)
CARDS, READING, ANALYSIS = (f"{REFEREE}/test_{name}.py" for name in ("cards", "reading", "analysis"))
ANALYZE = "house/test_analyze.py"

CASES = {
    "A1 several numbers in a name: a word for steps decides, or it is refused, with --steps": (
        f"{STEPS}::test_patterns_of_names",
        f"{STEPS}::test_no_other_number_matters_beside_a_word_for_steps",
        f"{STEPS}::test_what_does_not_say_its_step_is_refused",
        f"{STEPS}::test_what_is_written_inside_is_a_witness",
        f"{FRAMEWORKS}::test_lightning_with_its_loss_in_the_names",
    ),
    "A2 last.ckpt, latest, final/ below exp7/: numbers above the folder never count, numberless files are left out": (
        f"{STEPS}::test_numbers_above_the_folder_never_count",
        f"{STEPS}::test_other_names_of_a_checkpoint_are_left_out",
    ),
    "A3 a script run again: a recording is not begun anew unasked, and goes on from its file alone": (
        f"{SAFE}::test_a_finished_recording_is_not_begun_anew_unasked",
        f"{SAFE}::test_overwriting_keeps_numbered_backups",
        f"{SAFE}::test_a_run_is_taken_up_from_its_file_alone",
    ),
    "A4 a notebook's interrupted training: who no longer owns the file never writes": (
        f"{SAFE}::test_an_interrupted_training_that_is_still_alive_writes_nothing",
        f"{TORCH}/test_torch_tracker.py::test_the_file_is_whole_when_a_process_with_torch_ends",
    ),
    "A5 two processes, one path: the second is refused, naming the first": (
        f"{SAFE}::test_a_second_process_is_refused_by_name",
        f"{SHARDED}::test_ddp_is_recorded_by_one_rank_and_a_second_is_refused",
    ),
    "A6 buffers (running_mean, inv_freq, masked_bias): one rule, live and from files": (
        f"{TRAINABLE}::test_batch_norm_live_and_from_files_is_the_same",
        f"{STATES}::test_files_and_a_tracker_count_the_same",
        f"{TENSORS}::test_buffers_and_constants_change_nothing",
        f"{SAFE}::test_known_buffers_of_a_state_dictionary_are_left_out_and_named",
    ),
    "A7 shards without group=, replicas with one: refused; gradients are the shard's": (
        f"{SHARDED}::test_shards_without_a_group_and_replicas_with_one_are_refused",
        f"{SHARDED}::test_gradients_of_shards_are_those_of_the_whole",
        f"{CALLBACKS}::test_under_fsdp2_all_processes_record_their_shards_and_the_run_goes_on",
        f"{CALLBACKS}::test_under_ddp_one_process_records",
    ),
    "A8 ZeRO-3's empty parameters: refused, naming the cause": (
        f"{SHARDED}::test_empty_shards_on_every_rank_are_refused",
        f"{SAFE}::test_parameters_that_are_empty_are_refused",
    ),
    "A9 fp8, int8, complex: read, or said with names and counts": (
        f"{TENSORS}::test_eight_bits_are_what_they_are",
        f"{TENSORS}::test_eight_bit_weights_are_read",
        f"{TENSORS}::test_complex_numbers_are_pairs_of_reals",
        f"{TENSORS}::test_integers_are_said",
        f"{STATES}::test_small_and_complex_numbers",
    ),
    "A10 enc.module.w and enc.w: only leading wrappers are stripped, a collision is an error": (
        f"{TENSORS}::test_a_layer_called_module_keeps_its_name",
        f"{TENSORS}::test_names_that_are_the_same_without_wrappers_are_an_error",
        f"{SAFE}::test_names_that_wrappers_make_equal_are_an_error",
    ),
    "A11 half precision a few steps apart: the rounding floor, a warning, marks; live as from files": (
        f"{STATES}::test_a_straight_drift_in_half_precision_is_said_to_be_rounding",
        f"{TENSORS}::test_the_rounding_floor_is_the_variance_of_rounding",
        f"{SAFE}::test_the_rounding_of_live_parameters_is_known_afterwards",
        f"{SAFE}::test_entries_that_never_move_have_no_rounding_live_either",
    ),
    "A12 a checkpoint that is a copy: named, left out on request": (
        f"{TENSORS}::test_copies_are_found_and_dropped",
        f"{TENSORS}::test_equal_checkpoints_are_one_line",
        f"{ANALYSIS}::test_copies_are_named_by_step_and_dropped_on_request",
    ),
    "A13 weights beside loss and lr as tensors: nested mappings are looked into": (
        f"{STATES}::test_the_weights_are_found_in_any_mapping",
    ),
    "A14 unknown weight decay: unknown everywhere": (
        f"{CARDS}::test_an_unknown_decay_is_neither_treated_nor_control",
        f"{CARDS}::test_an_unknown_decay_is_no_control_in_a_picture",
        f"{CARDS}::test_an_unknown_decay_is_named_in_early_warning",
    ),
    "A15 k* = 1 throughout: no order to judge": (
        f"{REFEREE}/test_placebos.py::test_a_run_whose_gap_is_below_its_first_mode_says_nothing_of_modes_above",
    ),
    "B1 a model beside its checkpoints: the checkpoints are read, the model is left out by name": (
        f"{STEPS}::test_numbers_above_the_folder_never_count",
        f"{STEPS}::test_where_else_checkpoints_may_be",
    ),
    "B2 PEFT adapters beside optimiser and random state": (f"{FRAMEWORKS}::test_hugging_face_with_lora",),
    "B3 a frozen base: trainable parameters only, sizes said before, the ring kept out of checkpoints on request": (
        f"{TRAINABLE}::test_frozen_parameters_are_left_out_and_that_is_said",
        f"{FRAMEWORKS}::test_a_frozen_base_in_whole_checkpoints",
        f"{SAFE}::test_the_size_is_said_before_training",
        f"{CALLBACKS}::test_lora_by_the_trainer_is_recorded_with_all_that_it_knows",
        f"{CALLBACKS}::test_a_run_goes_on_from_any_folder",
    ),
    "B4 unfreezing, a full disk, log= raising: the training goes on": (
        f"{TRAINABLE}::test_unfreezing_is_no_reason_to_fail_and_loses_nothing",
        f"{TRAINABLE}::test_an_error_in_a_hook_does_not_end_the_training",
        f"{CALLBACKS}::test_a_full_disk_does_not_end_a_training",
        f"{SAFE}::test_a_disk_that_is_full_for_a_while_loses_nothing",
        f"{SAFE}::test_a_full_disk_is_not_tried_at_every_step",
        f"{SAFE}::test_what_cannot_be_written_at_the_end_is_put_elsewhere",
        f"{SAFE}::test_a_log_that_fails_does_not_lose_the_record",
    ),
    "B5 one file: a run where it holds one, else one line": (
        f"{GRAM}/test_one_file.py::test_one_model_is_one_line",
        f"{STATES}::test_one_file_that_holds_a_run",
        f"{STATES}::test_one_file_that_holds_a_model_is_one_line",
    ),
    "B6 net, params, generator and discriminator, ema, state.model": (
        f"{STATES}::test_the_weights_are_found_in_any_mapping",
        f"{STATES}::test_parts_of_a_model_are_taken_together",
        f"{STATES}::test_one_of_several_models_must_be_chosen",
    ),
    "B7 Accelerate's optimiser, swapped arguments": (
        f"{TRAINABLE}::test_accelerate_is_unwrapped_and_accumulation_counts_steps",
        f"{TRAINABLE}::test_what_cannot_be_attached_is_refused_in_a_line",
    ),
    "B8 one odd card, one foreign file: named, and the others are judged": (
        f"{CARDS}::test_one_odd_card_is_named_and_stops_no_other",
        f"{READING}::test_a_folder_of_recordings_with_a_foreign_and_a_damaged_file",
    ),
    "B9 distributed checkpoints, .pth.tar, shards without index; others named, with how to convert them": (
        f"{STATES}::test_folders_of_distributed_checkpoints",
        f"{STATES}::test_shards_of_two_processes",
        f"{TORCH}/test_torch_checkpoints.py::test_every_shape_gives_the_same_K",
        f"{TENSORS}::test_shards_without_an_index",
        f"{TENSORS}::test_formats_that_are_not_read_are_named_with_how_to_convert_them",
    ),
    "B10 a stranger's names for keys and metrics; reasons name the key": (
        f"{CARDS}::test_synonyms",
        f"{CARDS}::test_metrics_by_the_names_trainers_use",
        f"{READING}::test_a_strangers_runs_are_judged",
        f"{REFEREE}/test_needs.py::test_a_scoreboard_names_what_is_missing_and_how_it_is_recorded",
        f"{PAGES}::test_the_tables_are_what_the_referee_reads",
    ),
    "B11 the callbacks fill the card": (
        f"{CALLBACKS}::test_lora_by_the_trainer_is_recorded_with_all_that_it_knows",
        f"{CALLBACKS}::test_batch_norm_by_lightning_is_recorded_with_all_that_it_knows",
    ),
    "B12 every=10 called at 1, 11, 21": (f"{SAFE}::test_every_tenth_step_whatever_the_first_is",),
    "B13 loggers with a prefix, and no step that goes back": (
        f"{TORCH}/test_loggers.py::test_wandb_loses_nothing_beside_a_loop_that_logs_twice_a_step",
        f"{TORCH}/test_loggers.py::test_tensorboard_itself",
        f"{TORCH}/test_loggers.py::test_what_mlflow_and_trackio_take",
    ),
    "B14 a damaged checkpoint: file and flag are named": (
        f"{TENSORS}::test_damaged_files_can_be_skipped",
        f"{ANALYZE}::test_damaged_files",
    ),
    "B15 a vocabulary that grows, a head tied in some files: --exclude": (
        f"{TENSORS}::test_exclude_leaves_out_what_some_files_lack_or_have_in_another_shape",
    ),
    "B16 a read-only installation without a home": (
        f"{ANALYZE}::test_a_read_only_installation_without_a_home",
    ),
    "B17 cp1252, ascii": (
        f"{ANALYZE}::test_any_console_will_do",
        f"{ANALYZE}::test_from_recording_to_a_table_where_a_locale_knows_little",
        f"{ANALYZE}::test_names_with_stand_ins_are_written_as_what_they_stand_for",
    ),
    "B18 two --select into one folder": (f"{ANALYZE}::test_figures_carry_what_was_selected",),
    "B19 above a thousand windows": (
        f"{ANALYZE}::test_long_runs_are_lines_and_legends_stand_beside_the_data",
        f"{ANALYZE}::test_runs_without_gaps_are_drawn_without_warnings",
    ),
    "B20 steps 0, 1, 2, 4 … 1000: a remark": (f"{ANALYSIS}::test_uneven_steps_are_remarked_on",),
    "B21 3,000 checkpoints: the band, not all of K": (f"{ANALYSIS}::test_the_band_is_kept_and_not_all_of_K",),
    "C1 whether the gap is more than noise": (
        f"{ANALYSIS}::test_a_random_walk_is_called_one",
        f"{ANALYSIS}::test_what_is_planted_is_more_than_noise",
        f"{ANALYZE}::test_it_says_what_it_read_and_whether_that_means_anything",
    ),
    "C2 the page Judging your own runs": (f"{PAGES}::test_judging_your_own_runs",),
    "C3 callbacks that fill the card": (
        f"{CALLBACKS}::test_lora_by_the_trainer_is_recorded_with_all_that_it_knows",
        f"{PAGES}::test_recording",
    ),
    "C4 recordings are protected": (f"{SAFE}::test_a_finished_recording_is_not_begun_anew_unasked",),
    "C5 from checkpoints to verdicts": (
        f"{ANALYZE}::test_saved_runs_are_read_again_and_tables_hold_every_window",
        f"{READING}::test_whatever_is_named_is_read_and_has_a_name",
        f"{READING}::test_checkpoints_with_a_card_and_a_log",
    ),
    "C6 layer by layer, from files and live": (
        f"{ANALYSIS}::test_groups_are_what_selecting_them_gives",
        f"{SAFE}::test_layer_by_layer_in_one_tracker",
        f"{SHARDED}::test_shards_layer_by_layer_and_taken_up_again",
    ),
    "C7 a view of a run that is being recorded": (
        "explorer/test_watch.py::test_a_training_in_another_process_is_followed",
    ),
    "C8 a forecast for a run in progress": (
        f"{REFEREE}/test_forecast.py::test_command",
        f"{REFEREE}/test_forecast.py::test_a_run_that_is_being_recorded",
    ),
    "C9 probes from a loss function": (
        f"{PROBES}::test_curvature_response_and_metric_are_those_of_the_dense_hessian",
        f"{PROBES}::test_the_response_is_what_the_next_update_does",
        f"{PROBES}::test_the_response_of_muon_is_what_the_next_update_does",
        f"{PROBES}::test_ablations_are_the_change_of_both_losses",
    ),
    "C10 transitions of one's own": (
        f"{REFEREE}/test_transitions.py::test_the_step_is_the_first_that_meets_the_condition",
        f"{REFEREE}/test_transitions.py::test_a_card_may_say_its_step",
        f"{REFEREE}/test_transitions.py::test_predictions_are_judged_by_it",
    ),
    "C11 the plan of runs for one's own task": (
        "torch/runs/test_own.py::test_every_run_has_all_probes_and_its_card",
        "torch/runs/test_own.py::test_an_interrupted_plan_is_the_uninterrupted_one",
        "torch/runs/test_own.py::test_the_runs_can_be_judged",
    ),
}


@cache
def found_in(file: str) -> frozenset[str]:
    """Names of the tests in a file."""
    found = ast.walk(ast.parse((ROOT / file).read_text()))
    return frozenset(
        node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("line", CASES)
def test_every_line_has_tests_that_exist(line: str) -> None:
    assert CASES[line]
    for named in CASES[line]:
        file, _, name = named.partition("::")
        assert name in found_in(file), f"{line}: there is no {named}"


def test_no_line_is_left_out() -> None:
    wanted = [f"{part}{i}" for part, n in (("A", 15), ("B", 21), ("C", 11)) for i in range(1, n + 1)]
    assert [line.split()[0] for line in CASES] == wanted
