"""The projector: folds the topic into the read model, and publishes cached counts to Redis.

- `intake` reads records from Kafka, and tracks the positions of each partition
- `batch` builds the input of one transaction (pure); `chain` checks the sequence of events (pure)
- `apply` applies one batch in one transaction
- `publish` sends the counts of changed customers to Redis
- `refold` rebuilds a customer from the writer's stream; `heads` finds it; `lists` is the client
- `selfcheck` checks the invariants
- `freshness` computes the watermark of each partition

Read in that order; main connects them. The revision alone defines which events a customer's counts
contain. No offset does.
"""
