"""Callbacks of a loop take turns, a few in each of its rounds."""

import asyncio

from ripstop.links.turns import Turns


async def works(turns, log, name):
    turn = turns.take()
    if turn is not None:
        await turn
    log.append(name)
    asyncio.get_running_loop().call_soon(log.append, "sent")


def test_what_the_first_ones_send_leaves_before_all_have_worked():
    async def scenario():
        turns, log = Turns(asyncio.get_running_loop()), []
        await asyncio.gather(*(works(turns, log, n) for n in range(20)))
        await asyncio.sleep(0)
        return log

    log = asyncio.run(scenario())
    assert [n for n in log if n != "sent"] == list(range(20))
    assert log[:9] == [*range(8), "sent"]
    before_last = log[: log.index(19)]
    assert before_last.count("sent") >= 8


def test_who_is_cancelled_while_waiting_takes_no_turn_from_others():
    async def scenario():
        turns, log = Turns(asyncio.get_running_loop()), []
        tasks = [asyncio.create_task(works(turns, log, n)) for n in range(30)]
        await asyncio.sleep(0)
        for task in tasks[8:20]:
            task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert turns.take() is None
        return log

    log = asyncio.run(scenario())
    assert [n for n in log if n != "sent"] == [*range(8), *range(20, 30)]


def test_turns_that_nobody_wants_keep_no_loop_awake():
    async def scenario():
        loop = asyncio.get_running_loop()
        turns, log = Turns(loop), []
        await works(turns, log, 0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert turns._taken == 0

    asyncio.run(scenario())
