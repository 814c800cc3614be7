"""Apps written for other packages, with our classes in their place: nothing changes but the lines named here."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.timeout(120)  # peers take seconds to import, more so on a busy machine

APPS = Path(__file__).parent / "apps"
URL = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"  # of the service, which becomes the local server's

Kind = Literal["import", "class", "model", "key"]


@dataclass(frozen=True)
class Change:
    """What is replaced in an app, and how often it stands there."""

    kind: Kind
    before: str
    after: str
    times: int = 1


@dataclass(frozen=True)
class App:
    """What changes in an app, and what it prints with our classes.

    Attributes:
        peer_fails: the end of what the other package raises on this service; empty if it prints the same.
        has_peer: whether the other package can be sent to a local server at all.
    """

    name: str
    changes: tuple[Change, ...]
    prints: str
    peer_fails: str = ""
    has_peer: bool = True

    @property
    def source(self) -> str:
        return (APPS / f"{self.name}.py").read_text("utf-8")

    def changed(self, *kinds: Kind) -> str:
        """The source with the changes of these kinds, each of which must apply as often as stated."""
        source = self.source
        for change in self.changes:
            assert source.count(change.before) == change.times, change
            if change.kind in kinds:
                source = source.replace(change.before, change.after)
        return source

    @property
    def lines(self) -> list[str]:
        return self.prints.strip("\n").splitlines()


CHAT_OPENAI = (
    Change("import", "from langchain_openai import ChatOpenAI\n", "from langchain_ovhcloud import ChatOVHCloud\n"),
    Change("class", "= ChatOpenAI(", "= ChatOVHCloud("),
)
OPENAI_LIKE = (
    Change(
        "import",
        "from llama_index.llms.openai_like import OpenAILike\n",
        "from llama_index_ovhcloud import ChatOVHCloud\n",
    ),
    Change("class", "= OpenAILike(", "= ChatOVHCloud("),
)
INCUMBENT = (
    Change(
        "import",
        "from llama_index.llms.ovhcloud import OVHcloud\n",
        "from llama_index_ovhcloud import ChatOVHCloud\n",
    ),
    Change("class", "= OVHcloud(", "= ChatOVHCloud("),
)
NO_PARALLEL = "feature 'parallel_tool_calls=false' is not currently supported\"}"

TABLE = (
    App(
        "chatopenai_chat",
        CHAT_OPENAI,
        """
Rome is in Italy.
tokens: Rome is in Italy.
stream: Paris is in France.
batch: ['Rome is in Italy.', 'Paris is in France.']
models: {'gpt-oss-120b': True}
Rome is in Italy. True stop
gpt-oss-120b 0.0 512
""",
    ),
    App(
        "chatopenai_agent",
        (
            *CHAT_OPENAI,
            Change("model", 'model="gpt-4o-mini"', 'model="gpt-oss-120b"'),
            Change("key", 'os.environ["OPENAI_API_KEY"]', 'os.environ["OVHCLOUD_API_KEY"]'),
        ),
        """
model: [('get_weather', {'city': 'Paris'})]
tools: It is sunny in Paris.
model: The tool says: It is sunny in Paris.
tool: 5
8 The tool says: 5
""",
    ),
    App(
        "chatopenai_structured",
        CHAT_OPENAI,
        """
Ticket(subject='streams', priority=2, team='core')
Ticket(subject='streams', priority=2, team='core')
{'x': 3, 'y': 4}
{'subject': 'streams', 'priority': 2, 'team': 'core'}
['parsed', 'parsing_error', 'raw'] 2 None True
{"priority": "2", "subject": "streams"}
streams core
streams
""",
        peer_fails=NO_PARALLEL,  # which it sends for method="function_calling"
    ),
    App(
        "chatopenai_arguments",
        (
            CHAT_OPENAI[0],
            Change("class", "= ChatOpenAI(", "= ChatOVHCloud(", 3),
        ),
        """
2 gpt-oss-120b True
stop True
Paris is in France.
Paris is
Rome is in Italy.
Rome is in Italy.
404
""",
    ),
    App(
        "openaiembeddings_rag",
        (
            Change(
                "import",
                "from langchain_openai import ChatOpenAI, OpenAIEmbeddings\n",
                "from langchain_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings\n",
            ),
            Change("class", "= OpenAIEmbeddings(", "= OVHCloudEmbeddings("),
            Change("class", "= ChatOpenAI(", "= ChatOVHCloud("),
        ),
        """
Oslo is in Norway.
Rome is in Italy.
{'number': 1} 1.0
1024 70
2
""",
    ),
    App(
        "chatmistralai_chat",
        (
            Change(
                "import",
                "from langchain_mistralai import ChatMistralAI\n",
                "from langchain_ovhcloud import ChatOVHCloud\n",
            ),
            Change("class", "= ChatMistralAI(", "= ChatOVHCloud("),
        ),
        """
[('get_weather', {'city': 'Lyon'})]
The tool says: It is sunny in Lyon.
Paris is in France.
City(name='Lyon', country='France')
City(name='Lyon', country='France')
['Rome is in Italy.', 'Oslo is in Norway.'] True
Rome is in Italy.
tool_calls
""",
        peer_fails="Input should be 'auto', 'none' or 'required'",  # it sends Mistral's "any"
    ),
    App(
        "chatlitellm_chat",
        (
            Change(
                "import", "from langchain_litellm import ChatLiteLLM\n", "from langchain_ovhcloud import ChatOVHCloud\n"
            ),
            Change("class", "= ChatLiteLLM(", "= ChatOVHCloud("),
        ),
        """
Rome is in Italy. True stop
Rome is in Italy.
{'city': 'GetWeather'}
city='Nice'
Rome is in Italy.
Rome is in Italy.
['Rome is in Italy.', 'Rome is in Italy.']
""",
    ),
    App(
        "community_embeddings",
        (
            Change(
                "import",
                "from langchain_community.embeddings import OVHCloudEmbeddings\n",
                "from langchain_ovhcloud import OVHCloudEmbeddings\n",
            ),
            Change("model", 'model_name="multilingual-e5-base"', 'model_name="bge-m3"'),
        ),
        """
40 True
Paris is in France
""",
        has_peer=False,  # its host is made of the model's name
    ),
    App(
        "openailike_chat",
        OPENAI_LIKE,
        """
Paris is in France.
Rome is in Italy.
assistant Oslo is in Norway.
Oslo is in Norway.
Oslo is in Norway.
True True
Paris is in France.
Oslo is in Norway.
{'Oslo is in Norway.'}
131072 True gpt-oss-120b gpt-oss-120b
""",
    ),
    App(
        "openailike_agent",
        OPENAI_LIKE,
        """
get_weather {'city': 'Paris'} It is sunny in Paris.
The tool says: It is sunny in Paris. = The tool says: It is sunny in Paris.
The tool says: 42
[('get_weather', {'city': 'Rome'})]
It is sunny in Rome.
""",
        peer_fails=NO_PARALLEL,  # which it sends for predict_and_call
    ),
    App(
        "openailike_structured",
        OPENAI_LIKE,
        """
Ticket(subject='streams', priority=2)
Ticket(subject='tools', priority=2)
Ticket(subject='streams', priority=2)
Ticket(subject='batches', priority=3)
limits {"subject":"limits","priority":1}
{"answer": "Answer"}
""",
        peer_fails=NO_PARALLEL,  # which it sends for every object
    ),
    App(
        "openailike_rag",
        (
            Change(
                "import",
                "from llama_index.embeddings.openai_like import OpenAILikeEmbedding\n"
                "from llama_index.llms.openai_like import OpenAILike\n",
                "from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings\n",
            ),
            Change("class", "= OpenAILike(", "= ChatOVHCloud("),
            Change("class", "= OpenAILikeEmbedding(", "= OVHCloudEmbeddings("),
        ),
        """
Oslo is in Norway. 1
Rome is in Italy.
Paris is in France.
Rome is in Italy.
['Paris is in France.']
30 1024 1024
""",
    ),
    App(
        "ovhcloud_chat",
        INCUMBENT,
        """
Paris is in France.
assistant: Rome is in Italy.
Oslo is in Norway.
Rome is in Italy.
Paris is in France.
Oslo is in Norway.
True gpt-oss-120b True
""",
    ),
    App(
        "ovhcloud_agent",
        INCUMBENT,
        """
[('get_weather', {'city': 'Nice'})]
subject='streams' priority=2
Meta-Llama-3_3-70B-Instruct
The tool says: It is sunny in Paris.
""",
        peer_fails="When using `tool_choice`, `tools` must be set.'}",  # it holds no model to call functions
    ),
)

each_app = pytest.mark.parametrize("app", TABLE, ids=lambda app: app.name)


@each_app
class TestAnApp:
    def test_prints_what_it_should_with_our_classes(self, server: LocalEndpoints, run: Any, app: App) -> None:
        ran = run(app.changed("import", "class", "model", "key").replace(URL, server.base_url))

        assert ran.lines == app.lines, ran.errors
        assert ran.code == 0
        assert [refusal for refusal in server.refusals if "no-such-model" not in refusal] == []

    def test_changes_in_nothing_else(self, app: App) -> None:
        before, after = app.source.splitlines(), app.changed("import", "class", "model", "key").splitlines()
        removed = [line[2:] for line in difflib.ndiff(before, after) if line.startswith("- ")]
        added = [line[2:] for line in difflib.ndiff(before, after) if line.startswith("+ ")]

        assert all(any(has_part(line, change.before) for change in app.changes) for line in removed), removed
        assert all(any(has_part(line, change.after) for change in app.changes) for line in added), added
        assert len(removed) <= sum(change.times * (change.before.count("\n") or 1) for change in app.changes)

    def test_names_only_imports_classes_models_and_keys(self, app: App) -> None:
        for change in app.changes:
            match change.kind:
                case "import":
                    assert all(line.startswith("from ") and " import " in line for line in change.before.splitlines())
                    assert all(line.startswith("from ") and " import " in line for line in change.after.splitlines())
                case "class":
                    assert change.after in {"= ChatOVHCloud(", "= OVHCloudEmbeddings("}
                case "model":
                    assert change.before.startswith(("model=", "model_name="))
                    assert change.before.partition("=")[0] == change.after.partition("=")[0]
                case "key":
                    assert change.before.startswith("os.environ[")
                    assert change.after == 'os.environ["OVHCLOUD_API_KEY"]'


@pytest.mark.parametrize("app", [app for app in TABLE if app.has_peer], ids=lambda app: app.name)
def test_other_package_prints_the_same_as_far_as_it_gets(server: LocalEndpoints, run: Any, app: App) -> None:
    ran = run(app.changed("model").replace(URL, server.base_url))

    if app.peer_fails:
        assert ran.code == 1
        assert ran.last_error.endswith(app.peer_fails), ran.errors
        assert ran.lines == app.lines[: len(ran.lines)]
    else:
        assert ran.lines == app.lines, ran.errors
        assert ran.code == 0


def has_part(line: str, text: str) -> bool:
    """Whether a line is one of the text's lines, or has the text in it."""
    return line in text.splitlines() or text.strip("\n") in line


def test_every_app_is_in_the_table() -> None:
    assert sorted(path.stem for path in APPS.glob("*.py")) == sorted(app.name for app in TABLE)
