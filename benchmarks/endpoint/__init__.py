"""How near `trajgen run` comes to the most that one endpoint gives, and how far others come.

`python -m benchmarks.endpoint` plays the same conversations against one mock endpoint, which is a
process of its own and answers after 20 ms, one time in five after 200 ms:

| system | what it does |
|---|---|
| floor | a bare aiohttp loop: sends ready bytes, reads the answers, and does nothing else |
| `trajgen run` | renders, asks, checks, filters, commits; inline, and with two workers on Ray |
| datatrove, Data Designer | the same requests through their runners, in environments of their own |

All have 64 connections, and 80 conversations begun where that can be set. The answers are those of
the scripted engine, found by the request's sampling seed, so every system asks the same in the same
order within a conversation, and waits the same time for each answer. Counted is from the first
request to the last answer; for `trajgen run` to the manifest, so with all filters and commits.
"""
