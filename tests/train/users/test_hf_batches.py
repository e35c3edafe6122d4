"""A HuggingFace dataset, its BatchEncodings, and a model that returns its loss: to the bit."""

import datasets
import torch
from torch.utils.data import DataLoader
from transformers import BatchEncoding, BertConfig, BertForSequenceClassification

from slalom import Task

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
ROWS = {"input_ids": [[i % 9, 3, 5 * (i % 2)] for i in range(64)], "labels": [0, 1] * 32}
DATA = datasets.Dataset.from_dict(ROWS).with_format("torch")


def collate(rows):
    return BatchEncoding({name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def test_batches_of_a_tokenizer(losses, by_hand):
    loader = DataLoader(DATA, 8, shuffle=True, collate_fn=collate)
    for data in (loader, DATA):
        task = Task(lambda: BertForSequenceClassification(BertConfig(**SMALL)), train=data,
                    valid=data, target=0.9, batch_size=8)  # fmt: skip
        task.check()
        assert losses(task) == by_hand(task, lambda model, batch: model(**batch).loss)
