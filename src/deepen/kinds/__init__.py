"""Kinds of answer: whatever differs between classes, numbers and boxes stands in one file here, NumPy only.

A kind is a frozen struct that travels in the signature. Shared code asks it and never asks which one it is:

    fit(values)            the kind fitted to raw labels (None or NaN: not labelled)
    fitted                 "all": names are those of the whole data; "train": fitted to the training items alone
    encode(values)         raw labels to the target array; `labelled(target)` says where there is one
    tensors, width         what the exported graph gives, and how many numbers the network must end in
    results                the arrays that decode and metrics need: `tensors`, and what `steps` add
    decode(outputs)        answers, one JSON object per item
    metric, metrics(...)   the figure that decides (a name of those in metrics()), and all figures
    agreement(a, b)        share of equal answers of two outputs; difference(a, b) the largest gap
    steps                  what the program does with the graph's outputs (boxes: thin them out)
    gap(a, b)              how far two decoded answers are apart; infinite where they differ in more than numbers
    uncertainty(outputs)   per item, for the label queue
    statistics(outputs)    what is watched of each answer in service: columns of numbers (NaN missing) or of texts
    form                   what a network gives it: a vector, where it is not said; models say the same by `gives`
    model                  the network where none is configured; without it the inputs decide
    known                  the data itself tells what is true, so methods that learn without labels have it too
    asks                   encoder -> options that the answer needs of its inputs
    partial                rows need not have all columns
    apart                  what answers mean differs from training to training, so folds cannot be put together
    truth, learnt(target, columns)  for targets of unequal size: the padded tensor a loss gets, and each item's part of it
    counts(target)         how often each of the `classes` occurs
    told(outputs)          the arrays as far as answers tell them, where that is not all; figures in service know no more
    outputs(answers)       the arrays that decoded answers came from, as far as the figures need them
    panels(target, ...)    what the report shows: plain data of deepen.panels, drawn by evaluation/

For answers that no label says (data/itself.py): of(...), column(...); reads and given(...) where draws go in

For answers that are foretold

    each, sources          an answer at every step of the last input, behind so many texts (nn/language.py)
    relative               changes from the newest values that are seen (nn/series.py)

For labels given by hand; a kind without a `widget` has none

    widget                 what the page asks with: choice, choices, number, boxes
    named(names), names    the kind with these names of classes, before anything is fitted
    names_in(values)       the names that raw labels hold
    label(value)           a raw label checked and in its one form; Invalid where it is none
    suggest(answer)        a raw label from a decoded answer
    distance(a, b)         how far two raw labels are apart, for agreement; consensus(values) what several say, or None

For the report a kind also says

    resampled(..., counts) the figures over many resamples at once; without it they are measured draw by draw
    block                  items that share rows with those that follow: resampled together
    shares                 names of figures that are shares of items: Wilson's interval
    distances              names of figures between two sets of items, which resampling alone makes larger
    offset                 what the losses of training lack to be in the unit of the figure `loss`
    baseline(train, target) a sentence and the figure that decides, for an answer without a look at the item
    per_item(...), slices(target)   a figure of each item, and groups of items by their true answer

Its loss and its last layer stand in nn/heads.py under the same name.
"""
