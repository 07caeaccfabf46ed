"""GGUF, the file format of llama.cpp, in and out.

A GGUF file is one more container of what a Hugging Face folder holds: weights, sizes and a tokenizer.
``reader.GgufFile`` shows such a file as Hugging Face named tensors, a Hugging Face config and a Hugging Face
tokenizer; ``writer.write_gguf`` goes the other way. Nothing here knows how a model is computed.

``header`` reads the bytes, ``metadata`` the values, ``architectures`` says how tensors are named and
laid out, ``config`` and ``rope`` translate the sizes, ``tokenizer`` the vocabulary.
"""
