"""The limits in many minutes of the service, in a simulation, in which no time passes."""

import pytest
from minutes import BEGUN, Service, Simulation

from ovhcloud_ai_endpoints._http.retry import Retry


class TestApart:
    """Workers that never rest, for ten minutes, which meet eleven of the service; no process knows of another."""

    @pytest.mark.parametrize("limit", [400, 2])
    def test_one_process_loses_nothing_and_uses_the_quota(self, limit: int) -> None:
        done = Simulation(Service(limit), processes=1, workers=64, latency=(0.2, 2))
        done.run(minutes=10)

        assert done.lost == []
        assert done.answered >= 0.9 * 11 * limit
        assert len(done.refused_after) <= 64  # those that were on their way when the limit was reached first
        assert done.worst <= 2

    def test_four_processes_lose_nothing_of_what_those_with_a_key_may_ask(self) -> None:
        done = Simulation(Service(400), processes=4, workers=64, latency=(0.2, 2))
        done.run(minutes=10)

        assert done.lost == []
        assert done.answered >= 0.9 * 11 * 400

    def test_four_processes_without_a_key_need_more_tries(self) -> None:
        done = Simulation(Service(2), processes=4, workers=64, latency=(0.2, 2), retry=Retry(max_retries=30))
        done.run(minutes=60)

        assert done.lost == []
        assert done.answered >= 0.9 * 61 * 2

    def test_answers_that_take_long_say_what_is_over(self) -> None:
        done = Simulation(Service(400), processes=1, workers=300, latency=(20, 40))
        done.run(minutes=10)

        assert done.lost == []
        assert done.answered >= 0.9 * 11 * 400

    def test_a_service_that_says_only_when_to_come_again_is_waited_for_too(self) -> None:
        class Terse(Service):
            def admit(self, now: float) -> tuple[int, dict[str, str]]:
                status, said = super().admit(now)
                return status, {name: value for name, value in said.items() if name == "retry-after"}

        done = Simulation(Terse(400), processes=1, workers=64, latency=(0.2, 2))
        done.run(minutes=10)

        assert done.lost == []
        assert done.answered >= 0.9 * 11 * 400


class TestShared:
    """The same in processes that share what they know."""

    @pytest.mark.parametrize("limit", [400, 2])
    @pytest.mark.parametrize("processes", [4, 16])
    @pytest.mark.parametrize("latency", [(0.2, 2), (10, 30)], ids=["quick", "slow"])
    @pytest.mark.parametrize("killed", [{}, {0: 70.0, 1: 133.0}], ids=["all live", "two are killed"])
    def test_after_the_first_minute_nothing_is_refused(
        self, limit: int, processes: int, latency: tuple[float, float], killed: dict[int, float]
    ) -> None:
        service = Service(limit)
        done = Simulation(service, processes=processes, workers=128, latency=latency, is_shared=True)
        done.kill(killed)
        done.run(minutes=6)

        first, *whole, _ = (min(used, limit) for used in service.used.values())
        assert done.lost == []
        assert done.in_vain == 0
        assert max(done.refused_after) < 60 - BEGUN
        assert first == limit
        assert sum(whole) >= 0.99 * limit * len(whole)

    @pytest.mark.parametrize("latency", [(0.2, 2), (10, 30)], ids=["quick", "slow"])
    def test_nor_on_a_machine_that_is_so_busy_that_requests_leave_late(self, latency: tuple[float, float]) -> None:
        service = Service(400)
        done = Simulation(service, processes=16, workers=128, latency=latency, reach=(0.01, 3), is_shared=True)
        done.run(minutes=6)

        assert max(done.refused_after) < 60 - BEGUN
        assert done.in_vain == 0
        assert sum(min(used, 400) for used in [*service.used.values()][1:-1]) >= 0.99 * 400 * 5

    def test_a_store_that_fails_leaves_each_process_with_what_it_knows(self) -> None:
        done = Simulation(Service(400), processes=4, workers=64, latency=(0.2, 2), is_shared=True)
        done.fail(after=100)
        done.run(minutes=10)

        assert done.lost == []
        assert done.answered >= 0.9 * 11 * 400
