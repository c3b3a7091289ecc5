"""A recipe is checked as a whole, before anything is trained."""

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("ruamel.yaml")

from recipe_toys import CONFIGS, write

from keras_lm.cli.recipes.reading import read_recipe, to_yaml
from keras_lm.cli.recipes.sections import model_arguments, model_of
from keras_lm.models import CATALOG, abstract


def parameters(recipe):
    return abstract(model_of(recipe), **model_arguments(recipe)).count_params()


def test_recipes_of_papers_are_valid_and_have_the_papers_parameters():
    counts = {
        "bert_base": 110_106_428,  # with both heads
        "roberta_base": CATALOG["roberta_base"].parameters,
        "gpt2_small": CATALOG["gpt2_small"].parameters,
        "gpt3_125M": CATALOG["gpt3_125M"].parameters,
    }
    for name, number in counts.items():
        assert parameters(read_recipe(CONFIGS / f"{name}.yaml")) == number, name
    for size in ("small", "base"):
        recipe = read_recipe(CONFIGS / f"electra_{size}.yaml")
        pretrainer = abstract(model_of(recipe), **model_arguments(recipe))
        for part, name in (("discriminator", "electra"), ("generator", "electra_generator")):
            expected = CATALOG[f"{name}_{size}"].parameters
            assert getattr(pretrainer, part).count_params() == expected, (size, part)
    found = {path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("small_")}
    assert found == {*counts, "electra_small", "electra_base"}


@pytest.mark.parametrize(
    ("name", "changes", "number"),
    [
        (
            "bert_base",
            "directory=runs/bert_128 data.sequence_length=128 training.steps=900000",
            110_106_428,
        ),
        (
            "bert_base",
            "training.initial_weights=runs/bert_128/model.keras training.steps=100000",
            110_106_428,
        ),
        (
            "roberta_base",
            "model.size=roberta_large optimizer.learning_rate=4e-4 optimizer.warmup=30000",
            355_412_057,
        ),
        (
            "gpt3_125M",
            "model.size=gpt3_175B optimizer.learning_rate=0.6e-4 data.batch_size=1536 "
            "training.steps=95368 training.steps_per_epoch=131 optimizer.warmup=119 "
            "optimizer.decay_steps=82652",
            174_604_259_328,
        ),
    ],
)
def test_what_recipes_of_papers_say_of_other_sizes_is_valid(name, changes, number):
    path = CONFIGS / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    for change in changes.split():
        assert change in text, change
    assert parameters(read_recipe(path, changes.split())) == number


def test_small_recipes_are_valid():
    names = {path.stem for path in CONFIGS.glob("small_*.yaml")}
    assert names == {f"small_{name}" for name in ("bert", "roberta", "electra", "gpt2", "gpt3")}
    for name in names:
        recipe = read_recipe(CONFIGS / f"{name}.yaml")
        assert recipe.model.vocab_size is None  # that of the tokenizer


def test_all_errors_are_told_at_once_by_their_path(tmp_path):
    path = write(
        tmp_path,
        "corpus.txt",
        model={"hidden_sise": 8, "num_layers": "two", "window": 1.5},
        data={"batch_size": True, "masking": "span"},
        optimizer={"learning_rate": None, "warmup": "long"},
        training={"steps": 0},
        monitorin={"every": 2},
    )
    with pytest.raises(ValueError, match=r"recipe.yaml has 11 errors:") as raised:
        read_recipe(path, ["data.files=[1]", "monitoring.peak_flops=fast"])
    assert sorted(str(raised.value).splitlines()[1:]) == [
        "  data.batch_size must be a valid integer. Received: True",
        "  data.files.0 must be a valid string. Received: 1",
        "  data.masking is no key; the keys are files, validation_files, sequence_length, "
        "batch_size, document, document_ids",
        "  model.hidden_sise is no key; did you mean hidden_size?",
        "  model.num_layers must be a valid integer. Received: 'two'",
        "  model.window must be a valid integer. Received: 1.5",
        "  monitorin is no key; did you mean monitoring?",
        "  monitoring.peak_flops must be a valid number or 'measure'. Received: 'fast'",
        "  optimizer.learning_rate must be a valid number. Received: None",
        "  optimizer.warmup must be a valid integer or a valid number. Received: 'long'",
        "  training.steps must be greater than or equal to 1. Received: 0",
    ]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (["data.sequence_length=17"], "data.sequence_length must be at most model.max_length"),
        (["tokenizer.path=there"], "tokenizer must have either a path"),
        (["tokenizer.lowercase=false"], "tokenizer.lowercase is not for a GPT, which reads bytes"),
        (["model.vocab_size=290"], "tokenizer.vocab_size must be at most model.vocab_size"),
        (["training.epochs=2"], "training must have either steps or epochs. Received: steps 6"),
        (["training.steps=7"], "training.steps must be a multiple of training.steps_per_epoch"),
        (["model.size=gpt2_small"], "model must have either a size or a class"),
        (["model.heads=[]"], r'model.heads must be \["causal_lm"\]'),
        (
            ["optimizer.schedule=constant", "optimizer.end_share=0.1"],
            "optimizer.end_share is for the schedules linear and cosine. Received: constant",
        ),
        (
            ["optimizer.name=lamb", "optimizer.layer_decay=0.8"],
            "optimizer.layer_decay is for the optimizer adamw; .* Received: lamb",
        ),
        (
            ["model.class=BERT", "data.next_sentence=true"],
            r"data.next_sentence must be true where .* Received: true, \['masked_lm'\]",
        ),
        (["model.class=BART"], "model.class must be 'BERT', 'DistilBERT'.* Received: 'BART'"),
        (["model.size=bert_huge"], "model.size must be 'bert_tiny'.* Received: 'bert_huge'"),
        (["steps"], "A change has the form section.key=value. Received: 'steps'"),
        (["a..b=1"], "A change has the form section.key=value. Received: 'a..b=1'"),
        (["strategy.kind=auto"], "strategy must be a section to have keys"),
        (["model.heads=[a"], r"A recipe is YAML. Received: 'model.heads=\[a', line 1"),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path, changes, rule):
    with pytest.raises(ValueError, match=rule):
        read_recipe(write(tmp_path, "corpus.txt"), changes)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("- a\n- b\n", "A recipe is a mapping of keys. Received: .*recipe.yaml"),
        ("seed: 1\nseed: 2\n", 'recipe.yaml, line 2: found duplicate key "seed"'),
        ("model: {class: GPT\n", "A recipe is YAML. Received: .*recipe.yaml, line 2"),
        ("model: GPT\n", "model must be a section. Received: 'GPT'"),
        ("seed: 0\n", "recipe.yaml has 5 errors:\n  directory is missing\n  model is missing"),
    ],
)
def test_what_is_no_recipe_is_told(tmp_path, text, rule):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rule):
        read_recipe(path)


def test_values_are_those_of_yaml_1_2(tmp_path):
    path = write(tmp_path, "corpus.txt")
    changes = ["optimizer.learning_rate=1e-4", "data.files=[no, a.txt]", "model.window=null"]
    recipe = read_recipe(path, changes)
    assert recipe.optimizer.learning_rate == 1e-4
    assert recipe.data.files == ["no", "a.txt"]
    assert recipe.model.window is None
    assert recipe.model.heads == ("causal_lm",)


def test_a_recipe_that_was_written_is_the_same_recipe(tmp_path):
    recipe = read_recipe(write(tmp_path, "corpus.txt"))
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(recipe))
    assert read_recipe(again).model_dump() == recipe.model_dump()
