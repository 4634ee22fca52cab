"""``dfrestore weights publish``: against a Hub on this machine; what is published is fetched back and loads."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Answer, save_model, tiny_spec
from publishing_hub import FIRST, TOKEN, PublishingHub, served

from dfrestore import load_network
from dfrestore.weights import Base, load_checkpoint, read_spec, resolve, save_checkpoint
from dfrestore.weights.checkpoint import sha256_of
from dfrestore.weights.registry_file import parse_text

Run = Callable[..., Answer]
LICENSED = tiny_spec(licence="CC BY 4.0", trained_on="four photos, drawn rain")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishingHub]:
    yield from served(tmp_path, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "mine.safetensors", LICENSED, 1.0)


@pytest.fixture
def unlicensed(tmp_path: Path) -> Path:
    return save_model(tmp_path / "bare.safetensors", tiny_spec(), 1.0)


@pytest.fixture
def publish(dfrestore: Run) -> Run:
    """publish(file, ...) publishes it to org/name."""

    def run(file: Path, *arguments: object, repo: str = "org/name") -> Answer:
        return dfrestore("weights", "publish", file, "--repo", repo, *arguments)

    return run


def table(answer: Answer) -> dict[str, object]:
    """The only model of the table on standard output."""
    assert answer.code == 0, answer.err
    (entry,) = tomllib.loads(answer.out)["models"].values()
    return entry


def test_what_is_published_is_fetched_back_and_loads(
    publish: Run, dfrestore: Run, hub: PublishingHub, model: Path
) -> None:
    source = str(table(publish(model))["source"])
    found = resolve(source, task="derain")
    assert found.path.read_bytes() == model.read_bytes()
    assert found.warnings == ()
    assert load_network(source)[1] == read_spec(model)
    assert dfrestore("weights", "verify", source).code == 0


def test_the_table_is_an_entry_of_a_registry_pinned_to_the_commit(
    publish: Run, hub: PublishingHub, model: Path, tmp_path: Path
) -> None:
    answer = publish(model)
    (entry,) = parse_text(answer.out, Path("weights.toml")).models.values()
    commit = hub.revisions["main"]
    assert (entry.name, entry.source) == ("derain/name", f"hf://org/name/mine.safetensors@{commit}")
    assert (entry.size, entry.sha256) == (model.stat().st_size, sha256_of(model))
    assert (entry.licence, entry.data, entry.method) == ("CC BY 4.0", "four photos, drawn rain", "c2f-dft")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "weights.toml").write_text(answer.out)
    assert resolve("name", task="derain").path.read_bytes() == model.read_bytes()


def test_file_and_card_come_in_one_commit(publish: Run, hub: PublishingHub, model: Path) -> None:
    answer = publish(model)
    assert len(hub.trees) == 2
    assert set(hub.tree("main")) == {".gitattributes", "mine.safetensors", "README.md"}
    assert f"published as {hub.url}/org/name/commit/{hub.revisions['main']}" in answer.err


def test_a_published_model_stays_what_it_is_when_another_follows(publish: Run, hub: PublishingHub, model: Path) -> None:
    first = publish(model)
    before = model.read_bytes()
    save_model(model, replace(LICENSED, default_steps=4), 0.5)
    second = publish(model)
    assert table(first)["source"] != table(second)["source"]
    assert resolve(str(table(first)["source"])).path.read_bytes() == before
    assert resolve(str(table(second)["source"])).path.read_bytes() == model.read_bytes()


def test_publishing_the_same_again_makes_no_commit(publish: Run, hub: PublishingHub, model: Path) -> None:
    first, again = publish(model), publish(model)
    assert first.out == again.out
    assert len(hub.trees) == 2


def test_the_card_beside_the_file_becomes_the_readme(publish: Run, hub: PublishingHub, model: Path) -> None:
    model.with_suffix(".md").write_text("# Mine\n\nFür alle.\n", encoding="utf-8")
    answer = publish(model)
    readme = hub.tree("main")["README.md"].decode()
    assert readme.endswith("\n---\n\n# Mine\n\nFür alle.\n")
    assert str(model.with_suffix(".md")) in answer.err


def test_a_card_of_one_s_choice_goes_before_the_one_beside(
    publish: Run, hub: PublishingHub, model: Path, tmp_path: Path
) -> None:
    model.with_suffix(".md").write_text("# Beside\n")
    (tmp_path / "other.md").write_text("---\nlicense: mit\n---\n# Chosen\n")
    publish(model, "--card", tmp_path / "other.md")
    assert hub.tree("main")["README.md"] == b"---\nlicense: mit\n---\n# Chosen\n"


def test_without_a_card_one_is_made_that_says_how_to_use_the_published_model(
    publish: Run, hub: PublishingHub, model: Path
) -> None:
    publish(model)
    readme = hub.tree("main")["README.md"].decode()
    assert "| trained on | four photos, drawn rain |" in readme
    assert sha256_of(model) in readme
    assert "dfrestore derain photo.jpg --model hf://org/name/mine.safetensors@main" in readme


@pytest.mark.parametrize(
    ("licence", "lines"),
    [
        ("CC BY-SA 4.0", ["license: cc-by-sa-4.0"]),
        ("Apache-2.0", ["license: apache-2.0"]),
        ('our "own"', ["license: other", 'license_name: "our \\"own\\""']),
    ],
)
def test_the_readme_carries_the_licence_where_the_hub_looks_for_it(
    licence: str, lines: list[str], publish: Run, hub: PublishingHub, tmp_path: Path
) -> None:
    answer = publish(save_model(tmp_path / "m.safetensors", tiny_spec(licence=licence), 1.0))
    assert hub.tree("main")["README.md"].decode().split("\n")[1 : 1 + len(lines)] == lines
    assert "warning" not in answer.err


def test_what_the_hub_warns_of_is_one_line(publish: Run, hub: PublishingHub, model: Path) -> None:
    model.with_suffix(".md").write_text("---\ntags: []\n---\n# Mine\n")
    answer = publish(model)
    assert answer.code == 0
    assert [line for line in answer.err.splitlines() if line.startswith("warning: ") and "no license" in line]


def test_the_credits_beside_the_file_go_with_it(publish: Run, hub: PublishingHub, model: Path) -> None:
    (model.parent / "LICENSE-WEIGHTS").write_text("photos: somebody, CC BY 4.0\n")
    assert "LICENSE-WEIGHTS" in publish(model).err
    assert hub.tree("main")["LICENSE-WEIGHTS"] == b"photos: somebody, CC BY 4.0\n"


def test_private_makes_a_private_repository(publish: Run, hub: PublishingHub, model: Path) -> None:
    assert publish(model, "--private").code == 0
    assert hub.private


def test_another_branch_is_made_and_takes_the_commit(publish: Run, hub: PublishingHub, model: Path) -> None:
    source = str(table(publish(model, "--revision-branch", "trial"))["source"])
    assert source.endswith(f"@{hub.revisions['trial']}")
    assert hub.revisions["main"] == FIRST
    assert resolve(source).path.read_bytes() == model.read_bytes()


def test_a_dry_run_shows_the_table_and_asks_nobody(publish: Run, hub: PublishingHub, model: Path) -> None:
    answer = publish(model, "--dry-run")
    assert table(answer)["source"] == "hf://org/name/mine.safetensors@REVISION"
    assert "would publish mine.safetensors (0.8 MB, CC BY 4.0), README.md (a card made from its header)" in answer.err
    assert f"to {hub.url}/org/name, branch main" in answer.err
    assert hub.requests == []


def test_the_token_is_sent_as_a_header_to_the_hub_alone(publish: Run, hub: PublishingHub, model: Path) -> None:
    answer = publish(model)
    assert answer.code == 0
    assert TOKEN not in answer.out + answer.err
    sent = dict(zip(hub.requests, hub.tokens, strict=False))
    assert {token for path, token in sent.items() if "/storage/" in path} == {None}
    assert TOKEN.encode() not in b"".join(hub.bodies.values())
    assert TOKEN not in "".join(hub.requests)


def test_a_licence_given_here_stands_in_the_published_copy_alone(
    publish: Run, hub: PublishingHub, unlicensed: Path
) -> None:
    before = unlicensed.read_bytes()
    answer = publish(unlicensed, "--licence", "CC0 1.0")
    entry = table(answer)
    published = resolve(str(entry["source"])).path
    assert unlicensed.read_bytes() == before
    assert f"{unlicensed} is left as it is" in answer.err
    assert entry["licence"] == read_spec(published).licence == "CC0 1.0"
    assert entry["sha256"] == sha256_of(published)
    network, spec = load_network(published)
    assert spec == replace(read_spec(unlicensed), licence="CC0 1.0")
    original = load_network(unlicensed)[0].state_dict()
    assert all(bool((tensor == original[name]).all()) for name, tensor in network.state_dict().items())


def test_a_file_that_builds_on_another_is_published_where_that_one_is_found(
    publish: Run, model: Path, tmp_path: Path
) -> None:
    tensors, spec = load_checkpoint(model)
    (tmp_path / "apart").mkdir()
    prior = tmp_path / "apart" / "prior.safetensors"
    digest = save_checkpoint(prior, {name: tensors.pop(name) for name in list(tensors)[:3]}, spec)
    small = tmp_path / "small.safetensors"
    save_checkpoint(small, tensors, replace(spec, base=Base("texture/prior", digest)))
    missing = publish(small, "--dry-run")
    assert (missing.code, missing.out, missing.err.count("\n")) == (3, "", 1)
    assert "builds on 'texture/prior'" in missing.err
    entry = table(publish(small, "--dry-run", "--base", prior))
    assert entry["sha256"] == sha256_of(small)
    assert "base" not in entry  # which others could not follow


@pytest.fixture
def on_published(model: Path, tmp_path: Path) -> tuple[Path, str]:
    """A model on a registered base, and the sha256 of that."""
    tensors, spec = load_checkpoint(model)
    below = {name: tensors.pop(name) for name in list(tensors)[:3]}
    digest = save_checkpoint(tmp_path / "prior.safetensors", below, replace(spec, task="texture"))
    small = tmp_path / "small.safetensors"
    save_checkpoint(small, tensors, replace(spec, base=Base("texture/prior", digest)))
    (tmp_path / "config").mkdir()
    source = f"hf://other/prior/prior.safetensors@{FIRST}"
    fields = f'task = "texture"\nmethod = "c2f-dft"\nsource = "{source}"\nsha256 = "{digest}"\n'
    (tmp_path / "config" / "weights.toml").write_text(f'[models."texture/prior"]\n{fields}')
    return small, digest


def test_the_card_and_the_table_name_the_base(
    publish: Run, hub: PublishingHub, on_published: tuple[Path, str], tmp_path: Path
) -> None:
    small, digest = on_published
    assert table(publish(small, "--base", tmp_path / "prior.safetensors"))["base"] == "texture/prior"
    readme = hub.tree("main")["README.md"].decode()
    where = f"texture/prior, sha256 {digest} (hf://other/prior/prior.safetensors@{FIRST})"
    assert f"| builds on | {where} |" in readme
    assert "\nbase_model: other/prior\nbase_model_relation: adapter\n" in readme

    small.with_suffix(".md").write_text("# Mine\n")
    publish(small, "--base", tmp_path / "prior.safetensors")
    assert hub.tree("main")["README.md"].decode().endswith(f"\n# Mine\n\nBuilds on {where}.\n")


def test_a_published_base_is_not_replaced_under_its_name(publish: Run, hub: PublishingHub, tmp_path: Path) -> None:
    prior = save_model(tmp_path / "prior.safetensors", replace(LICENSED, task="texture"), 1.0)
    assert publish(prior).code == publish(prior).code == 0
    published = hub.tree("main")
    save_model(prior, replace(LICENSED, task="texture"), 0.5)
    answer = publish(prior)
    assert answer.code == 3
    assert "org/name: holds another prior.safetensors, which models may build on, so it is not replaced" in answer.err
    assert hub.tree("main") == published
    assert publish(prior.rename(tmp_path / "prior-2.safetensors")).code == 0


def test_the_card_of_a_published_stage_says_what_it_is_for(publish: Run, hub: PublishingHub, tmp_path: Path) -> None:
    table(publish(save_model(tmp_path / "s1.safetensors", replace(LICENSED, stage="S1"), 1.0)))
    readme = hub.tree("main")["README.md"].decode()
    assert "| training stage | S1, which makes no model to restore with |" in readme
    assert "dfrestore train derain --init-from hf://org/name/s1.safetensors@main" in readme
