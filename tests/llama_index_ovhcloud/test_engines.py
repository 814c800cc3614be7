import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import PromptTemplate, SummaryIndex, VectorStoreIndex, get_response_synthesizer
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.evaluation import (
    BatchEvalRunner,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
    SemanticSimilarityEvaluator,
)
from llama_index.core.extractors import KeywordExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.postprocessor import LLMRerank, StructuredLLMRerank
from llama_index.core.query_engine import CitationQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticMultiSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from pydantic import BaseModel

from llama_index_ovhcloud import ChatOVHCloud, OVHCloudEmbeddings
from ovhcloud_ai_endpoints.testing import LocalEndpoints

pytestmark = pytest.mark.usefixtures("environ")

NODES = [TextNode(text="The cat sat on the mat."), TextNode(text="A stream that breaks off raises an error.")]
QUESTION = "What does a stream that breaks off raise?"
ANSWER = "A stream that breaks off raises an error."


@pytest.fixture(autouse=True)
def _loop() -> Iterator[None]:
    """The loop that core's blocking methods run their tasks in, which they would make and never close."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def llm() -> ChatOVHCloud:
    return ChatOVHCloud(model="gpt-oss-120b")


@pytest.fixture
def index() -> VectorStoreIndex:
    return VectorStoreIndex(NODES, embed_model=OVHCloudEmbeddings())


class Finding(BaseModel):
    """What was found."""

    answer: str


def chats(server: LocalEndpoints) -> list[Any]:
    return [request.json for request in server.requests if request.path.endswith("/chat/completions")]


class TestQueryEngine:
    @pytest.mark.parametrize("way", ["query", "aquery", "streaming", "astreaming"])
    def test_answers(self, index: VectorStoreIndex, llm: ChatOVHCloud, way: str) -> None:
        engine = index.as_query_engine(llm=llm, similarity_top_k=1, streaming="streaming" in way)

        async def streamed() -> str:
            response = await engine.aquery(QUESTION)
            return "".join([piece async for piece in response.async_response_gen()])

        match way:
            case "query":
                answer = str(engine.query(QUESTION))
            case "aquery":
                answer = str(asyncio.run(engine.aquery(QUESTION)))
            case "streaming":
                answer = "".join(engine.query(QUESTION).response_gen)
            case _:
                answer = asyncio.run(streamed())

        assert answer == ANSWER

    def test_takes_one_call_for_as_much_as_the_window_holds(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        nodes = [NodeWithScore(node=TextNode(text=f"{number} " + "word " * 1_000), score=1) for number in range(10)]

        get_response_synthesizer(llm=llm, response_mode=ResponseMode.COMPACT).synthesize(QUESTION, nodes)

        assert len(chats(server)) == 1

    @pytest.mark.parametrize("mode", [ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE, ResponseMode.ACCUMULATE])
    @pytest.mark.parametrize("use_async", [False, True])
    def test_answers_in_other_modes(self, llm: ChatOVHCloud, mode: ResponseMode, use_async: bool) -> None:
        index = SummaryIndex(NODES)

        engine = index.as_query_engine(llm=llm, response_mode=mode, use_async=use_async)

        assert "raises an error" in str(engine.query(QUESTION))

    def test_refines_by_structured_answers(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply(tool_calls=[("StructuredRefineResponse", {"answer": "An error", "query_satisfied": True})])
        server.reply(tool_calls=[("StructuredRefineResponse", {"answer": "No", "query_satisfied": False})])
        synthesizer = get_response_synthesizer(
            llm=llm, response_mode=ResponseMode.REFINE, structured_answer_filtering=True
        )

        answer = synthesizer.synthesize(QUESTION, [NodeWithScore(node=node, score=1) for node in NODES])

        assert str(answer) == "An error"
        assert len(chats(server)) == 2

    def test_answers_with_an_object(self, server: LocalEndpoints, index: VectorStoreIndex, llm: ChatOVHCloud) -> None:
        server.reply('{"answer": "an error"}')

        response = index.as_query_engine(llm=llm, output_cls=Finding, response_mode="compact").query(QUESTION)

        assert response.response == Finding(answer="an error")

    def test_answers_from_a_structured_llm(
        self, server: LocalEndpoints, index: VectorStoreIndex, llm: ChatOVHCloud
    ) -> None:
        engine = index.as_query_engine(llm=llm.as_structured_llm(Finding))
        server.reply('{"answer": "an error"}')

        assert engine.query(QUESTION).response == Finding(answer="an error")

    def test_cites(self, index: VectorStoreIndex, llm: ChatOVHCloud) -> None:
        engine = CitationQueryEngine.from_args(index, llm=llm, similarity_top_k=1)

        response = engine.query(QUESTION)

        assert response.source_nodes[0].text.startswith("Source 1:")
        assert ANSWER in str(response)

    @pytest.mark.parametrize("selector", [LLMSingleSelector, PydanticSingleSelector, PydanticMultiSelector])
    def test_routes(self, server: LocalEndpoints, index: VectorStoreIndex, llm: ChatOVHCloud, selector: Any) -> None:
        tools = [
            QueryEngineTool.from_defaults(
                index.as_query_engine(llm=llm, similarity_top_k=1), name=name, description=what
            )
            for name, what in (("cats", "about cats"), ("streams", "about streams"))
        ]
        chosen = '{"index": 2, "reason": "It is about streams"}'
        if selector is LLMSingleSelector:
            server.reply('[{"choice": 2, "reason": "It is about streams"}]')
        elif selector is PydanticSingleSelector:
            server.reply(tool_calls=[("SingleSelection", chosen)])
        else:
            server.reply(tool_calls=[("MultiSelection", f'{{"selections": [{chosen}]}}')])

        engine = RouterQueryEngine(selector.from_defaults(llm=llm), tools, llm=llm)

        response = engine.query(QUESTION)
        assert str(response) == ANSWER
        assert response.metadata["selector_result"].selections[0].index == 1

    def test_asks_sub_questions(self, server: LocalEndpoints, index: VectorStoreIndex, llm: ChatOVHCloud) -> None:
        tool = QueryEngineTool.from_defaults(
            index.as_query_engine(llm=llm, similarity_top_k=1), name="docs", description="the documents"
        )
        server.reply(f'```json\n{{"items": [{{"sub_question": "{QUESTION}", "tool_name": "docs"}}]}}\n```')
        engine = SubQuestionQueryEngine.from_defaults(
            [tool],
            llm=llm,
            question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
            response_synthesizer=get_response_synthesizer(llm=llm),
            verbose=False,
            use_async=False,
        )

        response = engine.query("All about streams?")

        assert f"Response: {ANSWER}" in response.source_nodes[0].text
        assert len(chats(server)) == 3


class TestRetrieval:
    def test_is_ranked_anew(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        nodes = [NodeWithScore(node=node, score=0.5) for node in NODES]
        server.reply("Doc: 2, Relevance: 9\nDoc: 1, Relevance: 1\n")

        ranked = LLMRerank(llm=llm, top_n=1).postprocess_nodes(nodes, query_str=QUESTION)

        assert [node.text for node in ranked] == [ANSWER]

    def test_is_ranked_anew_by_an_object(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        nodes = [NodeWithScore(node=node, score=0.5) for node in NODES]
        server.reply('{"documents": [{"document_number": 2, "relevance": 9}]}')

        ranked = StructuredLLMRerank(llm=llm, top_n=1).postprocess_nodes(nodes, query_str=QUESTION)

        assert [node.text for node in ranked] == [ANSWER]

    def test_is_fused_of_several_questions(
        self, server: LocalEndpoints, index: VectorStoreIndex, llm: ChatOVHCloud
    ) -> None:
        server.reply("What is an error?\nWhat is a stream?")
        retriever = QueryFusionRetriever(
            [index.as_retriever(similarity_top_k=1)], llm=llm, num_queries=3, similarity_top_k=1, use_async=False
        )

        assert retriever.retrieve(QUESTION)[0].text == ANSWER


class TestChatEngine:
    MODES = (ChatMode.SIMPLE, ChatMode.CONTEXT, ChatMode.CONDENSE_QUESTION, ChatMode.CONDENSE_PLUS_CONTEXT)

    @pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
    @pytest.mark.parametrize("mode", MODES)
    def test_answers_and_remembers(
        self, server: LocalEndpoints, index: VectorStoreIndex, llm: ChatOVHCloud, mode: ChatMode, way: str
    ) -> None:
        engine = index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=1)

        async def asked(question: str) -> str:
            if way == "achat":
                return str(await engine.achat(question))
            response = await engine.astream_chat(question)
            return "".join([piece async for piece in response.async_response_gen()])

        def ask(question: str) -> str:
            match way:
                case "chat":
                    return str(engine.chat(question))
                case "stream_chat":
                    return "".join(engine.stream_chat(question).response_gen)
                case _:
                    return asyncio.run(asked(question))

        first, second = ask(QUESTION), ask(f"Once more: {QUESTION}")

        assert first
        assert second
        assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2
        assert engine.chat_history[1].content == first
        if mode != ChatMode.SIMPLE:
            assert first == ANSWER


class TestEvaluators:
    @pytest.mark.parametrize("evaluator", [FaithfulnessEvaluator, RelevancyEvaluator])
    @pytest.mark.parametrize(("said", "passes"), [("YES", True), ("NO", False)])
    def test_judge_by_yes_and_no(
        self, server: LocalEndpoints, llm: ChatOVHCloud, evaluator: Any, said: str, passes: bool
    ) -> None:
        server.reply(said)

        result = evaluator(llm=llm).evaluate(query=QUESTION, response=ANSWER, contexts=[node.text for node in NODES])

        assert result.passing is passes

    def test_judge_correctness(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply("4.5\nIt is right.")

        result = CorrectnessEvaluator(llm=llm).evaluate(query=QUESTION, response=ANSWER, reference=ANSWER)

        assert (result.score, result.passing) == (4.5, True)

    def test_judge_by_guidelines(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply('{"passing": true, "feedback": "fine"}')

        result = GuidelineEvaluator(llm=llm).evaluate(query=QUESTION, response=ANSWER, contexts=["x"])

        assert result.passing

    def test_compare_pairs(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply("[[A]]")
        server.reply("[[B]]")

        result = PairwiseComparisonEvaluator(llm=llm).evaluate(query=QUESTION, response="one", second_response="two")

        assert result.score == 1.0

    def test_compare_by_vectors(self) -> None:
        evaluator = SemanticSimilarityEvaluator(embed_model=OVHCloudEmbeddings())

        assert evaluator.evaluate(response=ANSWER, reference=ANSWER).score == pytest.approx(1)

    @pytest.mark.filterwarnings("ignore:asyncio_module:DeprecationWarning")  # by core itself
    def test_run_many_at_once(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        server.reply("YES", times=6)
        runner = BatchEvalRunner({"faithful": FaithfulnessEvaluator(llm=llm)}, workers=3)

        results = asyncio.run(
            runner.aevaluate_response_strs(
                queries=[QUESTION] * 6, response_strs=[ANSWER] * 6, contexts_list=[[ANSWER]] * 6
            )
        )

        assert [result.passing for result in results["faithful"]] == [True] * 6


class TestIngestion:
    def test_extracts_embeds_and_caches(self, server: LocalEndpoints, llm: ChatOVHCloud) -> None:
        cache = IngestionCache()

        def pipeline() -> IngestionPipeline:
            extractors = [TitleExtractor(llm=llm, num_workers=1), KeywordExtractor(llm=llm, num_workers=1)]
            return IngestionPipeline(transformations=[*extractors, OVHCloudEmbeddings()], cache=cache)

        nodes = asyncio.run(pipeline().arun(nodes=[TextNode(text=node.text, id_=node.text) for node in NODES]))
        count = len(server.requests)
        again = asyncio.run(pipeline().arun(nodes=[TextNode(text=node.text, id_=node.text) for node in NODES]))

        assert all(node.embedding and "document_title" in node.metadata for node in nodes)
        assert count == len(server.requests) > 3
        assert [node.embedding for node in again] == [node.embedding for node in nodes]

    @pytest.mark.parametrize("use_async", [False, True])
    def test_index_is_built(self, server: LocalEndpoints, use_async: bool) -> None:
        nodes = [TextNode(text=f"text {number}") for number in range(60)]

        index = VectorStoreIndex(nodes, embed_model=OVHCloudEmbeddings(), use_async=use_async)

        assert sorted(len(request.json["input"]) for request in server.requests) == [10, 25, 25]
        assert len(index.vector_store.to_dict()["embedding_dict"]) == 60


def test_predict_goes_through_prompt_and_system_prompt(server: LocalEndpoints) -> None:
    llm = ChatOVHCloud(model="gpt-oss-120b", system_prompt="Be {exact}")
    prompt = PromptTemplate("The {animal} sat on the mat. Where did the {animal} sit?")

    answers = [
        llm.predict(prompt, animal="cat"),
        asyncio.run(llm.apredict(prompt, animal="cat")),
        "".join(llm.stream(prompt, animal="cat")),
    ]

    assert answers == ["The cat sat on the mat."] * 3
    assert {request.json["messages"][0]["content"] for request in server.requests} == {"Be {exact}"}
