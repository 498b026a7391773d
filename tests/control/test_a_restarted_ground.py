"""What a ground does that finds an incident in force: it goes on with it, and lets go only when it knows."""

from control.scripted_fleet import SUSPECT, fail, make_node, make_world, recover


def in_incident():
    world = make_world()
    world.run(5)
    fail(world)
    world.run(5)
    return world


def levels(world):
    return [r["level"] for r in world.named("risk.assessed") if r["triggers"]]


def test_a_restarted_control_plane_keeps_the_protection_and_then_lifts_it():
    world = in_incident()
    before = world.agents["d000"].intent.mitigations
    world.network.crash("control")
    world.run(2)
    recover(world)
    world.network.attach("control", make_node(world.agents))
    world.run(2.0)  # what is taken over goes out with the first tick
    assert world.named("authority.gained")[-1]["epoch"] == 2
    assert world.named("incident.adopted")
    assert world.agents["d000"].intent.mitigations == before
    assert world.agents["d000"].position.epoch == 2
    world.report_all()
    world.run(10)
    assert world.agents["d000"].intent.mitigations == ()
    assert world.named("incident.closed")


def test_a_restarted_control_plane_lifts_nothing_while_it_is_blind():
    world = in_incident()
    before = world.agents["d000"].intent.mitigations
    assert before
    world.network.crash("control")
    world.run(1)
    for agent in world.agents.values():
        agent.is_mute = True  # its reports are lost for a while
    world.network.attach("control", make_node(world.agents))
    world.run(5)  # the dwell is 3 s
    assert levels(world)[-1] == "undecided"
    for agent in world.agents.values():
        agent.is_mute = False
    world.report_all(but=[SUSPECT])
    world.run(5)  # the faulty one's work is not known yet: nothing says how far its fault would spread
    assert not world.named("mitigation.lifting")
    assert world.agents["d000"].intent.mitigations == before
    world.report_all()
    world.run(20)
    assert levels(world)[-1] == "high"
    assert not world.named("mitigation.lifting")


def test_a_restarted_control_plane_lets_go_of_a_fleet_that_is_gone_or_has_landed():
    for is_mute in (True, False):
        world = in_incident()
        world.network.crash("control")
        for name, agent in world.agents.items():
            agent.is_mute, agent.breaker = is_mute, "closed"
            world.report_work(name, active=False, available=False)
        world.network.attach("control", make_node(world.agents))
        world.run(11.5 if is_mute else 1)
        assert not world.named("incident.closed")
        if not is_mute:
            world.report_all()
        world.run(12)
        assert world.named("incident.closed"), is_mute


def test_agents_that_come_back_one_by_one_keep_nobody_waiting():
    world = in_incident()
    world.network.crash("control")
    for agent in world.agents.values():
        agent.is_mute = True
    world.network.attach("control", make_node(world.agents))
    world.run(0.2)
    for agent in world.agents.values():  # each before the tick that waits for those who follow the last one
        world.perform(agent.name, agent.beat(world.network.now(agent.name)))
        world.run(0.15)
    adopted = world.named("incident.adopted")[-1]["at_s"]
    taken_over = next(r for r in world.named("intent.issued") if r["at_s"] > adopted)
    assert taken_over["at_s"] - adopted < 1.3  # a tick later, as if nobody had come back
