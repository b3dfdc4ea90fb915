"""What notices that items or answers are no longer those of training, one test per file, NumPy only.

A monitor looks at columns: of each item one number (float, NaN where missing) or one category (text) under a name.

    describe(columns)     what it keeps of the training data, as JSON has it: sums and counts, never single items
    test(kept, columns)   a Finding for each column it can judge, for one window of items in service

Each Finding has a p-value that holds for windows of any size, and the size of the effect: with many items the smallest
change is significant, and only one of some size matters. `least` is the smallest effect an alarm is raised for.
"""
