"""The one deterministic path from a raw item to tensors; training, evaluation, gate, server and labelling all use it.

An encoder is a frozen struct that travels in the signature. NumPy only, no torch:

    fit(values, **options)   the encoder fitted to the training items
    grow(values, **options)  the encoder with what is new in more training items, behind what it knows; left out where
                             nothing can be
    tensors                  what it gives, in the order the network takes it
    encode(values)           a batch of tensors; a raw item that cannot be read raises Invalid with its row
    parse(value), dump(raw)  a raw item from and to what JSON can carry
    restore(arrays)          the raw item of one encoded item; left out where that would not be all of it
    file(raw), cells(raw)    a raw item as the content of a file (`ending`: of its name), as a row of a table; each left out
                             where there is no such form
    together(rows)           the rows of a table as items by name, where one item takes several rows
    statistics(arrays)       what is watched of each item in service: columns of numbers (NaN missing) or of texts

Scaling to well-behaved floats is the first step of the network itself (nn/normalise.py), under the same name.
"""
