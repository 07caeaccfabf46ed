"""The bricks of every network here: norms, positions, attention, feed-forward, blocks, caches, losses.

Shape legend used in names: B rows, T new tokens, S tokens attended to, N = B*T, D = d_model,
H heads, K key/value heads, E = head_dim, F = d_ff, V vocabulary.
"""
