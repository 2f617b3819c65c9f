"""The relay: sends accepted events from the outbox to Kafka and deletes them once acknowledged.

One relay leads, by a lock in Postgres (`leader`). The others wait.
The loop (`loop`) reads the oldest rows and sends them by partition. It waits for the
acknowledgements and deletes the acknowledged rows.
The state of each partition is in `lanes`.
A crash between acknowledgement and delete sends a row twice. Consumers drop the duplicate by its
revision. Each row is sent at least once.
Start with: main, relay, loop, lanes, leader. `admin` has the commands (topic, republish).
"""
