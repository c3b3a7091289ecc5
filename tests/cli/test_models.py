from keras_lm.cli.main import main


def test_models_are_listed_with_parameters_memory_and_paper(capsys):
    assert main(["models", "gpt3_1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:-2]]
    assert names == ["gpt3_125M", "gpt3_1.3B", "gpt3_13B", "gpt3_175B"]
    assert "174,604,259,328  650.45   2601.81  Brown et al. 2020" in lines[4]


def test_a_part_of_no_name_is_one_line(capsys):
    assert main(["models", "bart_huge"]) == 2
    assert capsys.readouterr().err == (
        "keras-lm: models takes a part of a name. Received: 'bart_huge', of none\n"
    )
