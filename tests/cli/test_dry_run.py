"""`--dry-run` of every long command: what it prints, and that it leaves every folder as it is."""

import json

import bench_files
import pytest
import run_files
import yaml

from wxr_plugin.cli.main import main

LABEL = ["label", "rate", "photos/real", "--json"]
PROMPTS = ["prompts", "learn", "--synthetic", "photos/gt", "-o", "prompts.safetensors", "--json"]


def state(folder):
    """Return size and time of every file and folder below `folder`, keyed by path.

    Readers of an LMDB enter themselves in its lock.mdb, which holds no data.
    """
    files = {}
    for path in sorted(set(folder.rglob("*")) - set(folder.rglob("lock.mdb"))):
        status = path.lstat()
        files[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return files


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Return a function that runs `wxr … --dry-run` and returns its plan.

    It asserts that every file and folder of the working directory stays as it is.
    """
    run_files.write_photos(tmp_path)
    run_files.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        before = state(tmp_path)
        capsys.readouterr()
        assert main([*map(str, words), "--dry-run"]) == 0
        assert state(tmp_path) == before
        return json.loads(capsys.readouterr().out)

    return run


def test_train_names_network_sizes_and_folders(plan, tmp_path):
    values = plan("train", "-opt", "supervised.yml", "--json")
    assert values["network"] == {"type": "RunNet", "parameters": 84}
    assert values["data_sets"] == {"train": {"name": "train", "images": 3}}
    # 3 photos, taken 10 times, in batches of 2: 15 iterations in an epoch.
    assert values["iterations"] == {"total": 2, "batch_size": 2, "epochs": 1}
    assert values["device"] == "cpu" and values["resumes"] is None
    assert values["writes"] == [f"{tmp_path}/experiments/file"]
    (tmp_path / "experiments/file").mkdir(parents=True)
    values = plan("train", "-opt", "supervised.yml", "--json")
    assert values["writes"] == [f"{tmp_path}/experiments/file (exists and is renamed)"]


def test_semi_supervised_training_has_a_plan(plan):
    values = plan("train", "-opt", "round.yml", "--json")
    assert values["model"] == "WResVLMModel" and values["data_sets"]["train"]["images"] > 0


def test_train_names_the_state_that_it_would_resume(plan, tmp_path):
    assert main(["train", "-opt", "supervised.yml"]) == 0
    values = plan("train", "-opt", "supervised.yml", "--auto_resume", "--json")
    states = tmp_path / "experiments/file/training_states"
    assert values["resumes"] == f"{states}/2.state (iteration 2)"
    assert values["writes"] == [f"{tmp_path}/experiments/file (exists and is continued)"]


def test_a_test_names_its_sets_and_folder(plan, tmp_path):
    pairs = {"name": "held", "type": "PairedImageDataset", "io_backend": {"type": "disk"}}
    options = run_files.training("WxrModel", {}, {}, 1)
    del options["train"], options["logger"]
    options["datasets"] = {"test_1": {**pairs, **run_files.PAIRS}}
    options["path"] = {"pretrain_network_g": "dark.pth"}
    options["val"] = {"save_img": False}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(options))
    values = plan("test", "-opt", "test.yml", "--json")
    assert values["data_sets"] == {"test_1": {"name": "held", "images": 3}}
    assert values["writes"] == [f"{tmp_path}/results/file"] and values["weights"] == "dark.pth"
    assert "resumes" not in values


def test_a_plan_of_a_wrong_file_is_its_problems(plan, tmp_path, capsys):
    options = yaml.safe_load((tmp_path / "supervised.yml").read_text())
    options["network_g"]["type"] = "RunNett"
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(options))
    assert main(["train", "-opt", "wrong.yml", "--dry-run"]) == 2
    assert "did you mean RunNet" in capsys.readouterr().err
    assert not (tmp_path / "experiments").exists()


def test_json_without_a_dry_run_trains_nothing(plan, tmp_path, capsys):
    for words in (["train", "-opt", "supervised.yml"], ["demo"], ["zoo", "get", "mwdt"]):
        assert main([*words, "--json"]) == 2
        assert "--json prints the plan of --dry-run" in capsys.readouterr().err
    assert not (tmp_path / "experiments").exists() and not (tmp_path / "demo").exists()


def test_benchmark_names_what_is_missing(plan, tmp_path):
    file = bench_files.write(tmp_path)
    values = plan("benchmark", "-opt", file, "--json")
    assert values["folder"] == f"{tmp_path}/out" and values["photos_to_restore"] == 4
    (net,) = [cell for cell in values["cells"] if cell["method"] == "net"]
    assert net["reasons"] == {"not restored before": 4} and net["done"] == 0


def test_a_run_names_its_stages(plan, tmp_path):
    values = plan("wresvlm", "run", "-opt", "run.yml", "--until", "round_1", "--json")
    assert values["work_folder"] == f"{tmp_path}/work"
    assert list(values["stages"])[-1] == "round_1"
    assert set(values["stages"].values()) <= {"make (new)", *map(waiting, values["stages"])}


def waiting(stage):
    """Return the plan of a stage that waits for the one before."""
    return f"make (waits, after {stage})"


def test_rating_names_photos_model_and_store(plan, tmp_path):
    store = tmp_path / "photos/real.labels.lmdb"
    values = plan(*LABEL)
    assert values["images"] == 6 and values["store"] == f"{store} (new)"
    assert main(["label", "rate", "photos/real"]) == 0
    values = plan(*LABEL)
    assert values["store"] == f"{store} (exists and is extended)"


def test_a_vote_names_its_candidates(plan):
    words = ["--restorers", "tiny", "--raters", "tiny", "tiny:quality", "--json"]
    values = plan("label", "init", "photos/real", *words)
    assert values["candidates"] == ["input", "tiny"] and "tiny:quality" in values["raters"]
    assert values["photos"] == 6


def test_captions_and_rewrites_are_counted(plan, tmp_path):
    clean, lq = "photos/gt", "hazy=photos/lq"
    values = plan("label", "caption", clean, "--lq", lq, "-o", "captions.csv", "--json")
    assert values["clean_photos"] == 3 and values["rows"] == 0
    assert main(["label", "describe", "photos/real"]) == 0
    values = plan("label", "rewrite", "photos/real.labels.lmdb", "--json")
    assert values["texts"] == 6


def test_an_lmdb_is_planned_built_and_known(plan, tmp_path):
    values = plan("lmdb", "build", "photos/gt", "gt.lmdb", "--json")
    assert values["state"] == "new" and values["images_to_store"] == values["images"] == 3
    assert main(["lmdb", "build", "photos/gt", "gt.lmdb"]) == 0
    values = plan("lmdb", "build", "photos/gt", "gt.lmdb", "--json")
    assert values["state"] == "built already" and values["images_to_store"] == 0


def test_prompts_count_their_photos(plan):
    values = plan(*PROMPTS)
    assert values["photos"] == {"clear": 3, "rain": 3, "haze": 3, "snow": 3}
    assert values["output"] == "prompts.safetensors"


def test_the_demo_names_its_folders(plan, tmp_path):
    values = plan("demo", "-o", "demo", "--real", "photos/real", "--json")
    assert values["work_folder"] == f"{tmp_path}/demo/runs/real"
    assert values["photos"] == f"{tmp_path}/photos/real (6)"
