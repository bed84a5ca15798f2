"""A kit for tests of your own consumers and rankers: no Redis, no Kafka, no waiting.

==========================================  ======================================================
``testing.client.StubPersonaClient``        the client, with shoppers that the test gives it;
                                            ``StubAsyncPersonaClient`` is the same on a loop
``testing.shop.MemoryShop``                 events in, personas and messages out: the whole system
``testing.outbox.Outbox``                   what a worker publishes: changes, dead letters
``testing.shop.MemoryTables``               what a worker stores: the twin of Redis
==========================================  ======================================================

Nothing of it is a second implementation: the stub parses and ranks with the client's code, the shop
applies events with the worker's. Each module is imported by itself, and the client's stub needs
what the client needs, ``redis`` and ``orjson``.
"""
