//! The ledger as text, and its bounds.

use azure_protocol::ServerTime;
use proptest::prelude::*;
use sweep::{Ledger, Life, Pod, SHARD_LIMIT, SHARDS, ShardError};

const ORGANIZATION: &str = "https://dev.azure.com/contoso";

fn pod(uid: String, name: String) -> Pod {
    Pod {
        uid,
        namespace: "agents".to_owned(),
        name,
        cluster: "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
        created: ServerTime(1_000),
        placeholder: false,
        life: Life::Lives,
    }
}

fn empty() -> [String; SHARDS] {
    Default::default()
}

#[test]
fn an_empty_piece_holds_nothing_and_a_strange_one_is_not_guessed() {
    assert_eq!(Ledger::read(ORGANIZATION, &empty()), Ok(Ledger::new(ORGANIZATION)));
    let of = |piece: &str| {
        let mut pieces = empty();
        pieces[2] = piece.to_owned();
        Ledger::read(ORGANIZATION, &pieces).expect_err(piece)
    };
    assert!(matches!(of("what"), (2, ShardError::Malformed(_))));
    assert!(matches!(of("{}"), (2, ShardError::Malformed(_))));
    let later = r#"{"version": 2, "organization": "https://dev.azure.com/contoso", "members": []}"#;
    assert_eq!(of(later), (2, ShardError::Later(2)));
    let other = r#"{"version": 1, "organization": "https://dev.azure.com/fabrikam", "entries": {}}"#;
    assert!(matches!(of(other), (2, ShardError::OtherOrganization(_))));
    let mut ledger = Ledger::new(ORGANIZATION);
    ledger.see_pods(&[pod("a".to_owned(), "p".to_owned())]);
    let mut pieces = ledger.write();
    pieces.rotate_left(1);
    assert!(Ledger::read(ORGANIZATION, &pieces).is_err(), "pieces were exchanged");
}

#[test]
fn a_full_ledger_refuses_pods_and_stays_within_its_pieces() {
    let mut ledger = Ledger::new(ORGANIZATION);
    let long = "n".repeat(200);
    for number in 0..9_000 {
        let uid = format!("{number:08}-1111-2222-3333-444444444444");
        ledger.see_pods(&[pod(uid, long.clone())]);
    }
    assert!(ledger.refused() > 0, "{} pods", ledger.entries().len());
    assert!(ledger.entries().len() > 5_000);
    for piece in ledger.write() {
        assert!(piece.len() <= SHARD_LIMIT, "{}", piece.len());
    }
    // Those of the usual length find room for eight thousand that live at once.
    let mut ledger = Ledger::new(ORGANIZATION);
    for number in 0..8_000 {
        let uid = format!("{number:08}-1111-2222-3333-444444444444");
        ledger.see_pods(&[pod(uid, "agent-7c9f8d6b5-abcde".to_owned())]);
    }
    assert_eq!(ledger.refused(), 0);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(names in prop::collection::vec("[a-z0-9-]{1,40}", 0..60)) {
        let mut ledger = Ledger::new(ORGANIZATION);
        for name in names {
            ledger.see_pods(&[pod(name.clone(), name)]);
        }
        prop_assert_eq!(Ledger::read(ORGANIZATION, &ledger.write()), Ok(ledger));
    }
}
