"""The projector: folds the topic into the read model, and the read model into Redis.

intake   reads records from Kafka, decodes them, and knows how far each partition has come
batch    makes of them what one transaction needs (pure), chain says what follows what (pure)
apply    one batch, one transaction
publish  tells Redis about the customers that have changed
refold   sets right a customer from the writer's list; heads finds whom; lists asks the writer
selfcheck looks whether what must always hold does
freshness says until when each partition has been published

Read in that order; main puts them together. Nothing here trusts an offset: what a customer's
figures contain is said by its revision alone.
"""
