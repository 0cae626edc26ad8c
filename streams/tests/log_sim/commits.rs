//! Commits whose member dies on the way, or whose markers come late.

use std::time::Duration;

use millrace_streams::log::sim::Fault;

use crate::Copy;

#[test]
fn a_member_that_dies_at_a_commit_leaves_what_it_had_reached() {
    for (fault, is_committed) in [
        (Fault::DiesBeforeSend, false),
        (Fault::DiesAfterSend, false),
        (Fault::DiesBeforeEnd, false),
        (Fault::DiesAfterEnd, true),
    ] {
        let mut copy = Copy::start();
        copy.h.log.inject(fault);
        copy.copy("v", 1).expect_err("it is dead");
        assert_eq!(copy.h.log.counters().members_killed, 1, "{fault:?}");
        copy.client.member.recover().expect_err("it stays dead");
        copy.client = copy.app.join_alone(&copy.h, "a", 1);
        assert_eq!(copy.committed(), is_committed.then_some(1), "{fault:?}");
        assert_eq!(copy.visible().len(), usize::from(is_committed), "{fault:?}");
    }
}

#[test]
fn a_late_marker_hides_what_is_committed_until_it_arrives() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::MarkerLate);
    copy.copy("v", 1).expect("committed");
    assert!(copy.visible().is_empty(), "the output's marker is late");
    assert_eq!(copy.committed(), Some(1), "that of the offsets is not");
    assert_eq!(copy.h.log.open_transactions().len(), 1);
    copy.h.log.advance(Duration::from_secs(3));
    assert_eq!(copy.visible(), ["v"]);
    assert!(copy.h.log.open_transactions().is_empty());
}

#[test]
fn a_member_goes_on_only_when_its_markers_are_written() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::MarkerLate);
    copy.copy("v", 1).expect("committed");
    copy.copy("w", 2).expect("committed");
    assert_eq!(copy.visible(), ["v", "w"]);
}
