"""OpenAI's interface of a server: completions, embeddings and the list of models.

From the wire to the graph: `routes` says which path leads where, `request` checks what was asked,
`service` answers, `text` ends texts at what a client named, `engine` runs the rows of all clients
together, `state_graph` keeps what they have read so far inside of TensorFlow.
"""
