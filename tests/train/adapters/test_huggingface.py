"""A transformers.Trainer becomes a task that trains as it does, and refuses what it would miss."""

import numpy as np
import pytest
import torch
from torch import nn

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from transformers import (  # noqa: E402
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from slalom.errors import InputError  # noqa: E402
from slalom.racing.fingerprint import fingerprint  # noqa: E402
from slalom.racing.options import Options  # noqa: E402
from slalom.train import Run, Task  # noqa: E402

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
ROWS = [
    {"input_ids": list(range(1 + i % 3, 6 + i % 3)), "attention_mask": [1] * 5, "labels": i % 3}
    for i in range(48)
]
TEXTS = [
    {"input_ids": (t := [(i * j) % 11 for j in range(6)]), "labels": [-100] * (i % 4) + t[i % 4 :]}
    for i in range(48)
]


HASTY = {
    "lr_scheduler_kwargs": {"patience": 0, "mode": "max", "factor": 0.5},
    "metric_for_best_model": "accuracy",
}


def bert(**options):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=12, intermediate_size=16, max_position_embeddings=8, num_labels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **SMALL,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def gpt():
    torch.manual_seed(1)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=12, n_positions=8, n_embd=16, n_layer=1, n_head=2,
                   resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    )  # fmt: skip


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


class InOrder(Trainer):
    def _get_train_sampler(self, *data):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class Watched(TrainerCallback):
    losses: list


def trainer(tmp_path, model=bert, rows=ROWS, kind=InOrder, given=None, **options):
    args = TrainingArguments(
        str(tmp_path), report_to=[], use_cpu=True, per_device_train_batch_size=8,
        per_device_eval_batch_size=8, learning_rate=0.05, logging_steps=1, save_strategy="no",
        disable_tqdm=True, optim="sgd", **{"max_steps": 20, **options},
    )  # fmt: skip
    return kind(
        model=model(), args=args, train_dataset=rows, eval_dataset=rows[:20],
        **{"compute_metrics": accuracy if rows is ROWS else None, **(given or {})},
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr_scheduler_type": "cosine", "warmup_steps": 5, "max_grad_norm": 0.3},
        {"lr_scheduler_type": "polynomial", "warmup_steps": 0.2, "label_smoothing_factor": 0.1},
        {"gradient_accumulation_steps": 2, "weight_decay": 0.3},
        {"model": gpt, "rows": TEXTS, "gradient_accumulation_steps": 3, "max_steps": 8},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch", **HASTY},
        {"lr_scheduler_type": "greedy", "eval_strategy": "steps", "eval_steps": 3, **HASTY},
    ],
)
def test_it_trains_as_the_trainer_does(tmp_path, options):
    own = trainer(tmp_path, **options)
    own.model_accepts_loss_kwargs &= own.compute_metrics is None
    metric = "accuracy" if options.get("rows") is None else "loss"
    task = Task.from_trainer(own, metric=metric)
    task.check()
    decay = own.args.weight_decay
    run = Run(task, lambda g: torch.optim.SGD(g, lr=0.05, weight_decay=decay), seed=5)
    found = [run.advance(1) for _ in range(task.max_steps)]
    own.train()
    theirs = [entry["loss"] for entry in own.state.log_history if "loss" in entry]
    assert found == pytest.approx(theirs, rel=1e-5)
    for ours, other in zip(run.model.parameters(), own.model.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)
    judged, told = run.evaluate(), own.evaluate()
    if metric == "accuracy":
        assert judged.metric == pytest.approx(told["eval_accuracy"])


def test_batches_that_the_trainer_adds_up_are_told_of(tmp_path):
    with pytest.warns(UserWarning, match="adds up the losses of accumulated batches"):
        Task.from_trainer(trainer(tmp_path, gradient_accumulation_steps=2))


def test_each_run_begins_with_the_trainers_weights(tmp_path):
    own = trainer(tmp_path)
    task = Task.from_trainer(own, metric="loss")
    one, two = task.make_model(0), task.make_model(1)
    for a, b, c in zip(one.parameters(), two.parameters(), own.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
    assert fingerprint(task.objective) == fingerprint(Task.from_trainer(own).objective)

    config = own.model.config
    given = {"model_init": lambda: BertForSequenceClassification(config)}
    anew = trainer(tmp_path, model=lambda: None, given=given)
    task = Task.from_trainer(anew, metric="loss")
    weights = [task.make_model(seed).classifier.weight for seed in (0, 1)]
    assert not torch.equal(*weights)


class Own(InOrder):
    def training_step(self, *args):
        return super().training_step(*args)


class Changing(TrainerCallback):
    def on_step_begin(self, args, state, control, **more):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": Own}, "Own has a training_step of its own"),
        ({"given": {"callbacks": [Changing()]}}, "the callback Changing may change the training"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_delay": 3},
         "the schedule begins after eval_delay"),
        ({"given": {"compute_metrics": None}, "metric_for_best_model": "accuracy"},
         "no compute_metrics that would give accuracy"),
        ({"given": {"compute_metrics": lambda p: {"f": 1.0}}, "metric_for_best_model": "accuracy"},
         "compute_metrics gives f, and the metric is accuracy"),
    ],
)  # fmt: skip
def test_what_would_be_missed_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        Task.from_trainer(trainer(tmp_path, **options)).check()


def test_a_loss_of_the_users_own(tmp_path):
    class Weighted(InOrder):
        def compute_loss(self, model, inputs, return_outputs=False, **more):
            outputs = model(**inputs)
            weight = torch.tensor([1.0, 2.0, 3.0])
            loss = nn.functional.cross_entropy(outputs.logits, inputs["labels"], weight)
            return (loss, outputs) if return_outputs else loss

    own = trainer(tmp_path, kind=Weighted)
    run = Run(Task.from_trainer(own, metric="accuracy"), lambda g: torch.optim.SGD(g, lr=0.1), 0)
    model = bert()
    batch = {k: torch.tensor([r[k] for r in ROWS[:8]]) for k in ROWS[0]}
    loss = own.compute_loss(model, batch)
    assert run.advance(1) == loss.item()
    assert np.isfinite(run.evaluate().metric)


def test_a_race_of_it_can_be_gone_on_with(tmp_path):
    one, two = (Task.from_trainer(trainer(tmp_path, lr_scheduler_type="cosine")) for _ in range(2))
    assert Options().record(one) == Options().record(two)
