"""The reference names every annotation, source and field; the guide's examples load."""

from __future__ import annotations

import re
from pathlib import Path

from harness.model.annotations import Annotations
from harness.model.slo import Frozen
from harness.spec.openslo import load_slos
from harness.spec.sources import SPECS
from harness.spec.words import explain

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_names_everything():
    text = (DOCS / "reference" / "slos.md").read_text()
    fields = [field.alias or name for spec in SPECS.values() for name, field in spec.model_fields.items()]
    annotations = [field.alias or name for name, field in Annotations.model_fields.items()]
    absent = [name for name in [*SPECS, *fields, *annotations] if f"`{name}`" not in text and f"`{name}:" not in text]
    assert not absent


def test_the_examples_of_the_guide_load(tmp_path):
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "guides" / "slo.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for number, example in enumerate(examples):
        (tmp_path / f"{number}.yaml").write_text(example)
    first, *_ = load_slos([tmp_path])
    words = explain(first).replace("\n", " ")
    assert words in (DOCS / "guides" / "slo.md").read_text().replace("\n", " ")


def test_annotations_are_described():
    assert issubclass(Annotations, Frozen)
    assert all(field.description for field in Annotations.model_fields.values())
