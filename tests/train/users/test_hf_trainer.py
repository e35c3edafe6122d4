"""A HuggingFace Trainer, raced as it stands: its own losses come first."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from slalom import Task

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
ROWS = [{"input_ids": [i % 9, 3, 5 * (i % 2)], "labels": i % 2} for i in range(64)]


def test_a_trainer(losses, tmp_path):
    model = BertForSequenceClassification(
        BertConfig(**SMALL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    )
    args = TrainingArguments(
        str(tmp_path), max_steps=20, learning_rate=0.1, warmup_steps=5, logging_steps=1,
        optim="sgd", train_sampling_strategy="sequential", report_to=[], use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(model, args, train_dataset=ROWS, eval_dataset=ROWS)
    task = Task.from_trainer(trainer, target=0.5)
    task.check()
    ours = losses(task, torch.optim.SGD)
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert ours == pytest.approx(theirs, rel=1e-5)
