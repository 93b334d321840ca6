"""What the released `tokenizers` makes of some documents, as digests: the peer of `datasets::tokenizer`.

    pip install tokenizers==0.23.3 && python make_ids.py <shared data folder>

Writes ids.json beside this script. For each tokenizer: the vocabulary's size and digest, and for each document the
number of ids, the digest of the ids and that of the decoded text. A digest is 64-bit FNV-1a, in hexadecimal: of ids, over
their four bytes, little-endian; of text, over its UTF-8.
"""

import json
import sys
from pathlib import Path

import tokenizers

TOKENIZERS = [
    "weights/stories260K/tokenizer.json",
    "weights/TinyStories-656K/tokenizer.json",
    "tokenizers/tinystories_bpe4096_tokenizer.json",
    "tokenizers/gpt-neox-olmo-dolma-v1_5_tokenizer.json",
    "tokenizers/dolma2_tokenizer.json",
]
ODD = "  two  spaces\t\ttab \u00a0 é漢字 🙂 </s><s> <|endoftext|> <|end_story|>\r\n\n\n123,456.789"


def fnv(data):
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return f"{digest:016x}"


def of_ids(ids):
    return fnv(b"".join(id.to_bytes(4, "little") for id in ids))


def documents(data):
    # Bytes, so that no line end is translated.
    stories = (data / "text/tinystories_train.txt").read_bytes().decode()[:20_000]
    wiki = (data / "text/wiki_demo.txt").read_bytes().decode()
    return stories.split("\n\n") + wiki.split("\n")[:3] + [ODD, "", " "]


def main():
    data = Path(sys.argv[1])
    golden = {"version": tokenizers.__version__}
    for name in TOKENIZERS:
        tokenizer = tokenizers.Tokenizer.from_file(str(data / name))
        tokenizer.encode_special_tokens = True
        vocab = sorted((id, token) for token, id in tokenizer.get_vocab(True).items())
        words = "".join(f"{id} {token}\n" for id, token in vocab)
        rows = []
        for document in documents(data):
            ids = tokenizer.encode(document, add_special_tokens=False).ids
            text = tokenizer.decode(ids, skip_special_tokens=False)
            rows.append([len(ids), of_ids(ids), fnv(text.encode())])
        golden[name] = {"vocab_size": vocab[-1][0] + 1, "vocab": fnv(words.encode()), "documents": rows}
    out = Path(__file__).with_name("ids.json")
    text = json.dumps(golden, indent=1).replace('[\n    ', '[').replace(',\n    ', ', ').replace('\n   ]', ']')
    out.write_text(text + "\n")


main()
