"""The command line: what is refused before any work, and what a sweep does from end to end."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bench.cli import main
from bench.errors import UserError
from bench.sweep import plan
from bench.sweep.protocol import protocol
from bench.tracking import MLflowTracker

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
CHOICES = [
    f"{path.parent.name}={path.stem}"
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in ("experiment", "space", "check")
]
MODELS = sorted(path.stem for path in (CONF / "space").glob("*.yaml"))
NEEDED = {
    "data=file": ["data.path=ratings.csv"],
    "data=table": ["data.path=clicks.csv", "data.target=click"],
    "data=svmlight": ["data.path=rows.svm"],
    "split=by": ["split.field=user"],
}
"""What a choice cannot do without."""
TINY = ["data=planted", "data.n_users=40", "data.n_items=50", "data.n_ratings=1000"]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_its_model_is_built(choice: str) -> None:
    assert plan([choice, *NEEDED.get(choice, [])], multirun=False).total == 1


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_ranges_to_search_around_its_configuration(model: str) -> None:
    planned = plan([f"model={model}", "search=default", "budget=40"], multirun=True)
    (combination,) = planned.combinations
    for key, range_ in planned.space(combination).items():
        value = OmegaConf.select(combination.cfg, key)
        values = [value] if isinstance(value, int | float) else value.values()  # by task
        assert all(range_.low < v < range_.high for v in values if v is not None), key
        assert range_.log == (key != "model.arguments.power_t"), key
    assert sum("#" in line for line in (CONF / "space" / f"{model}.yaml").open()), (
        "no reasons are given"
    )


@pytest.mark.parametrize("experiment", sorted(p.stem for p in (CONF / "experiment").glob("*.yaml")))
def test_every_experiment_is_a_legal_sweep(experiment: str) -> None:
    planned = plan([f"experiment={experiment}"], multirun=False)
    assert planned.multirun and planned.total >= 2


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=fm_sdg"], "no model 'fm_sdg' (did you mean 'fm_sgd'?)"),
        (["modle=fm_sgd"], "no key 'modle' (did you mean 'model'?)"),
        (["model=linear", "model.l22=3"], "no key 'model.l22' (did you mean 'model.l2'?)"),
        (["model=fm_sgd", "model.k=-2"], "model=fm_sgd: k must be at least 0, got -2"),
        (["model=linear", "model.l2=-1"], "l2 must be at least 0, got -1"),
        (["model=linear", "model.l2=much"], "l2 must be a number, got 'much'"),
        (["model=linear", "model.l2=1,2"], "model.l2 has several values: a sweep needs -m"),
        (["seed=-1"], "seed must be at least 0"),
        (["first_rows=-5"], "first_rows must be at least 1, got -5"),
        (["first_rows=0.5"], "first_rows must be a whole number"),
        (["test=maybe"], "test must be true or false, got 'maybe'"),
        (["refit=1"], "refit must be true or false, got 1"),
        (["data=file"], "data.path must be given: data.path=..."),
        (["experiment.name=../../up"], "experiment.name must be letters, digits"),
        (["experiment.name=null"], "got None"),
        (["model=linear", "~model.l2", "model._target_=absent.Model"], "absent"),
        (["model=linear", f"model.l2={'x' * 200}"], "..."),
        (["model.k=[1"], "cannot read the command line"),
    ],
)
def test_wrong_command_gets_one_sentence(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        plan(overrides, multirun=False)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_leaderboard_says_of_each_model_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.sweep.compose.not_installed", lambda configurations: {})
    planned = plan(["experiment=peers"], multirun=False)
    models = {cfg.hydra.runtime.choices.model for cfg in planned.jobs}
    assert (
        set(planned.jobs[0].experiment.cannot)
        == models
        >= {m for m in MODELS if m.startswith("peer_")}
    )


def test_a_sweep_leaves_out_what_is_not_installed_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    planned = plan(["model=linear,peer_libfm", "seed=0,1"], multirun=True)
    reason = "libFM is not installed: there is no program libFM, give its path"
    assert planned.total == 2 and planned.skipped == {"peer_libfm": reason}
    assert plan(["model=peer_libfm"], multirun=False).total == 1


def test_every_value_of_a_sweep_is_checked() -> None:
    with pytest.raises(UserError, match="l2 must be at least 0, got -4"):
        plan(["model=linear,quadratic", "model.l2=1,2,3,-4", "seed=0,1"], multirun=True)


def test_models_without_a_swept_hyperparameter_run_once() -> None:
    given = ["data=planted", "split=random", "model=linear,fm_als,fm_gibbs", "model.k=2,4"]
    planned = plan(given, multirun=True)
    assert planned.total == 5
    names = [trial.name.removesuffix(" (simulated)") for trial in next(protocol(planned))]
    assert names == ["linear", *(f"{m} k={k}" for m in ("fm_als", "fm_gibbs") for k in (2, 4))]
    with pytest.raises(UserError, match=r"no key 'model.kk' \(did you mean 'model.k'"):
        plan([*given, "model.kk=1,2"], multirun=True)


def test_the_field_of_a_split_may_stand_in_its_name() -> None:
    short, long = (
        plan([*words, "data=planted_clicks"], multirun=False).jobs[0].split
        for words in (["split=by:user"], ["split=by", "split.field=user"])
    )
    assert short == long and short.field == "user"


def test_sweep_counts_its_runs_and_knows_what_varies() -> None:
    planned = plan(["model=linear", "model.l2=1,2,3", "seed=0,1"], multirun=True)
    assert (planned.total, planned.varied) == (6, ("model.l2", "seed"))


@pytest.mark.parametrize(
    "wrong",
    [
        ["model=nothing"],
        ["data=file", "data.path=absent.csv"],
        ["split=ux"],
        ["data=planted_clicks", "data.n_rows=100", "data.n_fields=2", "model=fm_ordinal"],
        ["data=planted", "features.names=[ids,user.jobs]"],
    ],
)
def test_wrong_command_ends_with_status_2_and_writes_nothing(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = tmp_path / "results"
    assert main([*wrong, f"results={store}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not store.exists()


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    command = ["-m", *TINY, "model=linear", "model.l2=1,4"]
    command += ["split=random,leave_last_out"]
    for folder, jobs in (("one", "1"), ("two", "2")):
        assert main([*command, f"jobs={jobs}", f"results={tmp_path / folder}"]) == 0
    errors = [
        {r.name: r.metrics["test/mse_raw"] for r in all_records(tmp_path / folder)}
        for folder in ("one", "two")
    ]
    assert errors[0] == errors[1] and len(errors[0]) == 4
    assert "linear l2=4 split=leave_last_out (simulated)" in errors[0]


def test_one_bad_run_ends_neither_sweep_nor_report(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["-m", *TINY, "model=fm_sgd", "model.learning_rate=1e6,0.02", f"results={tmp_path}"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "FAILED fm_sgd learning_rate=1000000.0" in said and "diverged" in said
    assert sorted(r.status for r in all_records(tmp_path)) == ["FAILED", "FINISHED"]


def all_records(results: Path) -> list:
    return MLflowTracker(directory=str(results)).all_records("sweeps_simulated")


def test_a_results_folder_that_cannot_be_is_a_sentence(capsys: pytest.CaptureFixture) -> None:
    assert main([*TINY, "model=linear", "results=/dev/null"]) == 2
    assert main(["runs", "--results", "/dev/null", "list"]) == 2
    assert main(["report", "sweeps", "--results", "/dev/null"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err and err.count("\n") == 3
