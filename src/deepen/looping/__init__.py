"""From live traffic back to labels, to a new run, to promotion: the steps of a round, a file for each thing.

    chosen -> queued -> labelled -> trained -> judged -> beside -> compared -> promoted -> kept
                                                  |                   |                      |
                                                  +---- refused ------+                 rolled back

A step takes the round, does its part, and returns its line for the ledger, or in words what it waits for.
"""
