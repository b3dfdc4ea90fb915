"""What pycocotools says of the made-up boxes: `python -m tests.detection.make_fixtures`, where it is installed."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.detection.made_up import CLASSES, PICTURES, boxes

PLACE = Path(__file__).parent / "fixtures" / "pycocotools.json"
NAMES = ("map", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "recall_1", "recall_10", "recall_100")


def measured(seed: int) -> dict:
    truth, found = boxes(seed)
    wide = lambda b: [float(b[0]), float(b[1]), float(b[2] - b[0]), float(b[3] - b[1])]
    columns = lambda them: zip(them.box, them.label.tolist(), them.picture.tolist(), them.score.tolist())
    annotations = [
        {"id": i, "image_id": p, "category_id": k, "bbox": wide(b), "area": wide(b)[2] * wide(b)[3], "iscrowd": int(c)}
        for i, (b, k, p, c) in enumerate(columns(truth), 1)
    ]
    answers = [{"image_id": p, "category_id": k, "bbox": wide(b), "score": s} for b, k, p, s in columns(found)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(PICTURES)],
            "categories": [{"id": i} for i in range(CLASSES)],
            "annotations": annotations,
        }
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(answers), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][:, :, :, 0, 2].mean(1)  # (T, K)
    stats = dict(zip(NAMES, run.stats.tolist()))
    return {**stats, "ap": np.where(precision < 0, -1, precision).T.tolist()}


if __name__ == "__main__":
    PLACE.write_text(json.dumps({str(seed): measured(seed) for seed in range(3)}, indent=1) + "\n")
