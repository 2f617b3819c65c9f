"""The relay: takes accepted events from the outbox to Kafka, and only then deletes them.

One relay leads, by a lock of Postgres (`leader`); others wait. The loop (`loop`) reads the oldest
rows, sends them by partition, waits for the acknowledgements and deletes what has arrived; what
it knows of each partition meanwhile stands in `lanes`. A crash between the acknowledgement and the
delete sends a row twice, which readers drop by its revision; nothing can send it less than once.
Read: main, relay, loop, lanes, leader; `admin` is the command line (topic, republish).
"""
