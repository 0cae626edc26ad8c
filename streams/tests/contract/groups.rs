//! Membership: who has which task, and who may commit it.

use std::collections::BTreeSet;

use millrace_streams::log::{CommitError, HeldTasks, LogError, SubtopologyMetadata, TaskId};

use super::Harness;
use super::kit::{
    App, Client, assert_shows_nothing, eventually, offset, partition, poll_until, share, task,
    topic, values,
};

pub(crate) fn one_member_gets_every_task<H: Harness>(h: &H) {
    let input = topic(h, "input", 4);
    let client = App::reading(h, &[&input]).join_alone(h, "a", 4);
    assert_eq!(client.active(), (0..4).map(task).collect::<Vec<_>>());
}

pub(crate) fn two_members_share_the_tasks<H: Harness>(h: &H) {
    let input = topic(h, "input", 4);
    let app = App::reading(h, &[&input]);
    let (mut a, mut b) = (app.join(h, "a"), app.join(h, "b"));
    share(h, 4, &mut a, &mut b);
    let all: BTreeSet<_> = a.active().into_iter().chain(b.active()).collect();
    assert_eq!(all, (0..4).map(task).collect());
}

pub(crate) fn a_member_without_tasks_is_told_so<H: Harness>(h: &H) {
    let input = topic(h, "input", 1);
    let app = App::reading(h, &[&input]);
    let mut busy = app.join_alone(h, "a", 1);
    let mut idle = app.join(h, "b");
    eventually(h, "an assignment without tasks", || {
        busy.poll();
        idle.take().then_some(())
    });
    assert_eq!(idle.active(), []);
    assert!(!idle.take(), "it is told once");
}

pub(crate) fn topics_that_are_read_together_go_to_the_same_member<H: Harness>(h: &H) {
    let (left, right) = (topic(h, "left", 4), topic(h, "right", 4));
    let app = App::reading(h, &[&left, &right]);
    let (mut a, mut b) = (app.join(h, "a"), app.join(h, "b"));
    share(h, 4, &mut a, &mut b);
    for client in [&mut a, &mut b] {
        for task in client.active() {
            let both = [
                (partition(&left, task.partition), offset(1, "")),
                (partition(&right, task.partition), offset(1, "")),
            ];
            client.member.commit(&both).expect("both are its own");
        }
    }
}

/// One member with four tasks, and a second one that is to get two of them.
fn newcomer<H: Harness>(h: &H, app: &App) -> (Client, Client) {
    let mut old = app.join_alone(h, "old", 4);
    let mut new = app.join(h, "new");
    eventually(h, "a revocation", || {
        new.poll();
        (old.take() && old.held.active.len() == 2).then_some(())
    });
    (old, new)
}

pub(crate) fn a_revoked_task_goes_over_only_when_it_is_confirmed<H: Harness>(h: &H) {
    let input = topic(h, "input", 4);
    let (mut old, mut new) = newcomer(h, &App::reading(h, &[&input]));
    for _ in 0..5 {
        old.take();
        new.poll();
        assert!(new.active().is_empty(), "not before the confirmation");
        h.settle();
    }
    old.member.confirm(&old.held).expect("a seat");
    share(h, 4, &mut old, &mut new);
    let kept: BTreeSet<_> = old.active().into_iter().collect();
    assert!(new.active().iter().all(|task| !kept.contains(task)));
}

pub(crate) fn a_task_can_be_committed_until_its_revocation_is_confirmed<H: Harness>(h: &H) {
    let input = topic(h, "input", 4);
    let (mut old, mut new) = newcomer(h, &App::reading(h, &[&input]));
    let kept = old.active();
    let revoked = (0..4).map(task).find(|task| !kept.contains(task));
    let from = partition(&input, revoked.expect("two are revoked").partition);
    old.commit_at(&from, offset(7, "last"));
    old.member.confirm(&old.held).expect("a seat");
    share(h, 4, &mut old, &mut new);
    assert_eq!(new.committed(&from), Some(offset(7, "last")));
}

pub(crate) fn a_leaving_member_hands_its_tasks_over<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 4), topic(h, "output", 1));
    let app = App::reading(h, &[&input]);
    let (mut a, mut b) = (app.join(h, "a"), app.join(h, "b"));
    share(h, 4, &mut a, &mut b);
    a.send(&partition(&output, 0), "k", "not committed");
    a.member.leave().expect("left");
    b.await_active(h, 4);
    b.send(&partition(&output, 0), "k", "committed");
    b.commit();
    assert_eq!(values(h, &partition(&output, 0), 1), ["committed"]);
}

pub(crate) fn the_same_member_id_gets_its_tasks_back_at_once<H: Harness>(h: &H) {
    let input = topic(h, "input", 4);
    let app = App::reading(h, &[&input]);
    let (mut a, mut b) = (app.join(h, "a"), app.join(h, "b"));
    share(h, 4, &mut a, &mut b);
    let (before, others) = (a.active(), b.active());
    drop(a);
    let mut again = app.join(h, "a");
    poll_until(h, "its tasks", &mut [&mut again, &mut b], |clients| {
        clients.iter().all(|client| client.held.active.len() == 2)
    });
    assert_eq!(again.active(), before);
    assert_eq!(b.active(), others);
}

pub(crate) fn the_same_member_id_fences_the_incarnation_before<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let (from, to) = (partition(&input, 0), partition(&output, 0));
    let app = App::reading(h, &[&input]);
    let mut old = app.join_alone(h, "a", 1);
    old.send(&to, "k", "old");
    let mut new = app.join_alone(h, "a", 1);
    assert_eq!(new.committed(&from), None);
    let refused = old.member.commit(&[(from.clone(), offset(1, "old"))]);
    let error = refused.expect_err("fenced");
    assert!(!matches!(error, CommitError::Unknown(_)), "{error}");
    new.send(&to, "k", "new");
    new.commit_at(&from, offset(1, "new"));
    let lost = old.member.recover();
    assert!(matches!(lost, Err(LogError::MemberLost(_))), "{lost:?}");
    new.send(&to, "k", "newer");
    new.commit_at(&from, offset(2, "newer"));
    assert_eq!(values(h, &to, 2), ["new", "newer"]);
    assert_eq!(new.committed(&from), Some(offset(2, "newer")));
}

pub(crate) fn offsets_of_a_task_of_somebody_else_are_refused<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 4), topic(h, "output", 1));
    let app = App::reading(h, &[&input]);
    let (mut a, mut b) = (app.join(h, "a"), app.join(h, "b"));
    share(h, 4, &mut a, &mut b);
    let foreign = b
        .active()
        .first()
        .map(|task| partition(&input, task.partition));
    let foreign = foreign.expect("b has tasks");
    let to = partition(&output, 0);
    a.send(&to, "k", "not mine");
    let refused = a.member.commit(&[(foreign.clone(), offset(1, ""))]);
    assert!(
        matches!(refused, Err(CommitError::Fenced(_))),
        "{refused:?}"
    );
    a.recover(h);
    assert_shows_nothing(h, &to);
    assert_eq!(b.committed(&foreign), None);
    b.commit_at(&foreign, offset(2, "mine"));
}

pub(crate) fn a_silent_member_loses_its_tasks_and_can_rejoin<H: Harness>(h: &H) {
    if !H::HAS_SESSIONS {
        return;
    }
    let (input, output) = (topic(h, "input", 4), topic(h, "output", 1));
    let app = App::reading(h, &[&input]);
    let (mut silent, mut other) = (app.join(h, "silent"), app.join(h, "other"));
    share(h, 4, &mut silent, &mut other);
    let from = partition(&input, silent.active().remove(0).partition);
    let to = partition(&output, 0);
    silent.send(&to, "k", "zombie");
    h.end_session(&silent.id);
    other.await_active(h, 4);
    let refused = silent.member.commit(&[(from.clone(), offset(1, "zombie"))]);
    let error = refused.expect_err("it is not its own any more");
    assert!(!matches!(error, CommitError::Unknown(_)), "{error}");
    let lost = silent.member.recover();
    assert!(matches!(lost, Err(LogError::MemberLost(_))), "{lost:?}");
    assert!(matches!(
        silent.member.poll_assignment(),
        Err(LogError::MemberLost(_))
    ));
    assert_shows_nothing(h, &to);
    silent.member.rejoin().expect("rejoined");
    silent.held = HeldTasks::default();
    share(h, 4, &mut silent, &mut other);
    assert_eq!(other.committed(&from), None);
}

pub(crate) fn standbys_are_kept_in_other_processes<H: Harness>(h: &H) {
    if h.standby_replicas() == 0 {
        return;
    }
    let input = topic(h, "input", 4);
    // A task without a store has nothing to keep warm.
    let probe = App::of(h, Vec::new());
    let stateful = SubtopologyMetadata {
        sources: vec![input],
        changelogs: vec![probe.internal("store-changelog")],
        ..SubtopologyMetadata::default()
    };
    let app = App::of(h, vec![stateful]);
    let (mut a, mut b) = (app.join(h, "a"), app.join(h, "b"));
    let what = "each other's tasks as standbys";
    poll_until(h, what, &mut [&mut a, &mut b], |clients| {
        let [a, b] = clients else {
            return false;
        };
        let set = |tasks: &[TaskId]| tasks.iter().copied().collect::<BTreeSet<_>>();
        a.held.active.len() == 2
            && set(&a.held.active) == set(&b.held.standby)
            && set(&b.held.active) == set(&a.held.standby)
    });
}

pub(crate) fn applications_do_not_see_each_other<H: Harness>(h: &H) {
    let input = topic(h, "input", 2);
    let app = App::reading(h, &[&input]);
    let other = App {
        id: format!("{}-other", app.id).into(),
        ..app.clone()
    };
    let mut a = app.join_alone(h, "a", 2);
    let mut b = other.join_alone(h, "b", 2);
    a.commit_at(&partition(&input, 0), offset(5, ""));
    assert_eq!(b.committed(&partition(&input, 0)), None);
}
