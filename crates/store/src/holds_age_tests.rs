//! How long holds are kept, and how often one can ask.

use refmon_core::limits;
use refmon_core::ports::Placed;
use refmon_core::record::Resolved;

use crate::holds_tests::{Call, at, at_machine, done, open, person, place, recorded};

#[test]
fn who_denies_his_own_calls_cannot_ask_for_ever() {
    let (_folder, stores) = open();
    let eve = person("t", "eve", &[]);
    let mut placed = 0;
    for number in 0..=u8::try_from(limits::HOLDS_OF_PERSON_HOUR_MAX / 64).unwrap() {
        for binding in 0..64 {
            let mut call = Call::new(number, binding);
            call.binding = [[binding; 31].as_slice(), &[number]].concat().try_into().unwrap();
            let Placed::Waits(id) = call.place(&stores, &eve, at(0)) else { continue };
            placed += 1;
            done(stores.desk(&eve).decide(id, Resolved::Denied, None, at(0), recorded).unwrap());
        }
    }
    assert_eq!(placed, limits::HOLDS_OF_PERSON_HOUR_MAX);
    place(&stores, &person("t", "ada", &[]), 1, 150, at(0));
    place(&stores, &eve, 200, 200, at(3_600));
}

#[test]
fn what_has_been_over_for_a_day_is_removed_and_nothing_else_is() {
    let (_folder, stores) = open();
    let (eve, day) = (person("t", "eve", &[]), 86_400);
    let denied = place(&stores, &eve, 1, 1, at(0));
    done(at_machine(&stores, "t", denied, false, at(1)));
    let expired = place(&stores, &eve, 2, 2, at(0));
    let recent = place(&stores, &eve, 3, 3, at(day));
    done(at_machine(&stores, "t", recent, false, at(day)));
    let pending = place(&stores, &eve, 4, 4, at(day + 7_000));
    let now = at(day + 7_001);
    stores.expire_holds(now).unwrap();
    assert!(!stores.remove_old_holds(now).unwrap());
    let (boss, found) = (person("t", "boss", &[]), |id| {
        stores.desk_at_machine(&person("t", "boss", &[])).find(id, now).unwrap().is_some()
    });
    assert_eq!([denied, expired, recent, pending].map(found), [false, false, true, true]);
    assert_eq!(stores.desk_at_machine(&boss).list(None, None, 100, now).unwrap().holds.len(), 2);
    let votes: i64 = stores.connection().query_row("SELECT count(*) FROM hold_decision", [], |row| row.get(0)).unwrap();
    assert_eq!(votes, 1, "its decisions are gone with a hold");
}
