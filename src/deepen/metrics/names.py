"""Names of figures: what each says, of which less is better, and which are not defined for every set of items."""

from __future__ import annotations

# What each figure says, for reports.
MEANING = {
    "accuracy": "share of right answers",
    "balanced_accuracy": "mean of the classes' recalls: a rare class counts as much as a frequent one",
    "precision_macro": "of what is given as a class, the share that is right; mean over classes",
    "recall_macro": "of a class's items, the share that is found; mean over classes",
    "f1_macro": "harmonic mean of precision and recall; mean over classes",
    "precision_weighted": "precision, each class weighted by its items",
    "f1_weighted": "F1, each class weighted by its items",
    "precision_micro": "of all labels given, the share that is right",
    "recall_micro": "of all true labels, the share that is found",
    "f1_micro": "harmonic mean of the two, all labels together",
    "mcc": "Matthews correlation of truth and answer: 1 perfect, 0 chance",
    "top_3_accuracy": "share of items whose class is among the three surest answers",
    "top_5_accuracy": "share of items whose class is among the five surest answers",
    "log_loss": "mean of -log(probability of the truth)",
    "brier": "mean squared error of the probabilities",
    "auc": "chance that an item of a class scores above one that is not of it; mean over classes",
    "auc_macro": "chance that an item with a label scores above one without; mean over labels",
    "average_precision": "area under the precision-recall curve; mean over classes",
    "ece": "calibration error: how far the stated confidence is from the share that is right",
    "exact_match": "share of items that are right as a whole",
    "character_error": "characters to put in, take out or replace, as a share of the true ones",
    "word_error": "the same of words",
    "hamming_loss": "share of single label decisions that are wrong",
    "jaccard": "overlap of the true and the given labels, mean over items",
    "rmse": "root of the mean squared error, in the target's unit",
    "mae": "mean size of the error, in the target's unit",
    "median_error": "half of the errors are smaller",
    "max_error": "the largest error",
    "bias": "mean error: above 0 the answers are too high",
    "mape": "mean size of the error as a share of the truth",
    "mase": "mean size of the error as a share of that of repeating the last season, in training",
    "skill": "share of the error of repeating the last season, on these items, that is gone: 0 no better, 1 perfect",
    "nats": "mean of -log(probability of the piece that came)",
    "perplexity": "e to the nats: among so many equally likely pieces the choice was, on average",
    "bleu": "how many of the answers' runs of one to four words stand in the true ones: 1 all of them",
    "bits_per_character": "what the text costs in bits, for each of its characters",
    "hit_rate_10": "share of items whose truth is among the ten likeliest of all",
    "hit_rate_1": "share of items whose truth is the likeliest of all",
    "ndcg_10": "1 / log2(1 + rank) where the truth is among the ten likeliest of all, else 0; mean",
    "mrr": "mean of 1 / rank of the truth",
    "score": "mean over the answers of the figure that decides there, of numbers r2",
    "r2": "share of the target's variance that is explained: 1 perfect, 0 no better than the mean",
    "map": "average precision, mean over overlaps from 0.5 to 0.95 and over classes",
    "ap50": "average precision where an overlap of 0.5 counts as found; mean over classes",
    "ap75": "average precision where an overlap of 0.75 counts as found; mean over classes",
    "ap_small": "map of things below 32 x 32 pixels",
    "ap_medium": "map of things from 32 x 32 to 96 x 96 pixels",
    "ap_large": "map of things above 96 x 96 pixels",
    "recall_100": "share of things among the 100 surest boxes of a picture; mean over overlaps and classes",
    "loss": "what the network loses on an item, mean over items",
    "frechet_error": "Frechet distance of what is made and what is held out, on small pictures or the numbers themselves",
    "likeness": "harmonic mean of precision and coverage: 1 where two sets cannot be told apart by neighbours",
    "precision": "share of what is made that lies among true items",
    "coverage": "share of true items that have something made near them",
    "degree_mmd": "squared distance (MMD, earth mover's distance, bandwidth 1) of degrees, made and held out",
    "clustering_mmd": "squared distance (MMD, earth mover's distance, bandwidth 0.1) of clustering coefficients",
    "node_mmd": "squared distance (MMD) of the means of the nodes' numbers, made and held out",
    "psnr": "peak signal to noise ratio of a picture told again, in decibels",
}

# How the names of figures end of which less is better.
LOWER = ("mmd", "loss", "error", "rmse", "mae", "mase", "mape", "ece", "brier", "nats", "perplexity", "character")  # fmt: skip

# Not defined for every set of items.
PARTIAL = {"auc", "auc_macro", "average_precision", "mape", "r2", "skill", "bits_per_character"}


def higher_is_better(name: str) -> bool:
    """Whether more of a figure is better: val_accuracy yes, val_log_loss no."""
    return not name.endswith(LOWER)
