import spacy
from concurrent.futures import ThreadPoolExecutor


class Tagger:
    def __init__(self):
        self.nlp = spacy.load("en_core_web_sm")

    def tag(self, text):
        return [token.tag_ for token in self.nlp(text)]


with ThreadPoolExecutor() as pool:
    print(list(pool.map(Tagger().tag, ["a", "b"])))
