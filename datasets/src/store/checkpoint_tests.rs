//! Checkpoints under failing writes, aborts at every named point, and flipped bytes.

use super::super::{digest_bytes, write_atomic};
use super::*;

fn recipe() -> Digest {
    digest_bytes(b"recipe")
}

fn stage(checkpoints: &Checkpoints, step: u64) -> Result<Vec<Part>, StoreError> {
    let dir = checkpoints.part_dir(step)?;
    ["weights", "moments"]
        .iter()
        .map(|name| {
            let bytes = format!("{name} at {step}").into_bytes();
            let written = write_atomic(&dir.join(name), |w| w.write_all(&bytes))?;
            Ok(Part { name: (*name).to_owned(), bytes: written.bytes, digest: written.digest })
        })
        .collect()
}

fn checkpoint(checkpoints: &Checkpoints, step: u64) -> Result<Checkpoint, StoreError> {
    let parts = stage(checkpoints, step)?;
    let checkpoint = checkpoints.commit(step, 1, parts)?;
    checkpoints.collect(2)?;
    Ok(checkpoint)
}

fn newest(dir: &Path) -> Option<u64> {
    let found = Checkpoints::open(dir, recipe()).unwrap().newest().unwrap();
    found.checkpoint.map(|c| c.step)
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_committed_step_is_found_with_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    assert!(checkpoints.newest().unwrap().checkpoint.is_none());
    checkpoint(&checkpoints, 10).unwrap();
    let made = checkpoint(&checkpoints, 20).unwrap();
    stage(&checkpoints, 30).unwrap();

    let found = Checkpoints::open(dir.path(), recipe()).unwrap().newest().unwrap();
    assert!(found.skipped.is_empty(), "what was never committed is not a checkpoint");
    let found = found.checkpoint.unwrap();
    assert_eq!(found, made);
    assert_eq!((found.step, found.previous, found.incarnation), (20, Some(10), 1));
    assert_eq!(fs::read(found.part("weights").unwrap()).unwrap(), b"weights at 20");
    assert_eq!(found.part("absent"), None);
}

#[test]
fn old_checkpoints_and_what_was_never_committed_are_collected() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    stage(&checkpoints, 5).unwrap();
    for step in [10, 20, 30] {
        checkpoint(&checkpoints, step).unwrap();
    }
    stage(&checkpoints, 40).unwrap();
    checkpoints.collect(0).unwrap();
    assert_eq!(listing(dir.path()), ["step-00000030", "step-00000040"]);
}

#[test]
fn a_step_that_is_not_newer_cannot_be_committed() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    checkpoint(&checkpoints, 20).unwrap();
    let reopened = Checkpoints::open(dir.path(), recipe()).unwrap();
    for (checkpoints, step) in [(&checkpoints, 20), (&checkpoints, 10), (&reopened, 20)] {
        let refused = checkpoint(checkpoints, step);
        assert!(matches!(refused, Err(StoreError::StaleStep { newest: 20, .. })), "{refused:?}");
    }
    assert_eq!(newest(dir.path()), Some(20));
}

#[test]
fn parts_that_are_not_there_or_have_no_proper_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    let parts = stage(&checkpoints, 10).unwrap();
    let commit = |change: &dyn Fn(&mut Vec<Part>)| {
        let mut parts = parts.clone();
        change(&mut parts);
        checkpoints.commit(10, 1, parts)
    };
    for name in ["", ".", "..", "../weights", "manifest.json", "moments"] {
        let refused = commit(&|parts| parts[0].name = name.to_owned());
        assert!(matches!(refused, Err(StoreError::PartName { .. })), "{name}");
    }
    let refused = commit(&|parts| parts[0].name = "absent".to_owned());
    assert!(matches!(refused, Err(StoreError::PartMissing { .. })));
    let refused = commit(&|parts| parts[0].bytes += 1);
    assert!(matches!(refused, Err(StoreError::PartSize { .. })));
    assert_eq!(newest(dir.path()), None);
    commit(&|_| ()).unwrap();
    assert_eq!(newest(dir.path()), Some(10));
}

#[test]
fn checkpoints_of_another_recipe_are_passed_over_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    checkpoint(&Checkpoints::open(dir.path(), recipe()).unwrap(), 10).unwrap();
    let other = Checkpoints::open(dir.path(), digest_bytes(b"other")).unwrap();
    let found = other.newest().unwrap();
    assert!(found.checkpoint.is_none());
    assert!(matches!(found.skipped[..], [(_, StoreError::RecipeChanged { .. })]));
    assert!(matches!(other.part_dir(10), Err(StoreError::RecipeChanged { .. })));
    assert_eq!(newest(dir.path()), Some(10));
}

#[test]
fn a_flipped_byte_anywhere_falls_back_to_the_checkpoint_before() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    checkpoint(&checkpoints, 10).unwrap();
    let last = checkpoint(&checkpoints, 20).unwrap();
    for name in ["weights", "moments", "manifest.json"] {
        let path = last.dir.join(name);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            let found = Checkpoints::open(dir.path(), recipe()).unwrap().newest().unwrap();
            assert_eq!(found.checkpoint.unwrap().step, 10, "byte {at} of {name}");
            assert_eq!(found.skipped.len(), 1);
        }
        fs::write(&path, &good[1..]).unwrap();
        assert_eq!(newest(dir.path()), Some(10));
        fs::remove_file(&path).unwrap();
        assert_eq!(newest(dir.path()), Some(10));
        fs::write(&path, &good).unwrap();
        assert_eq!(newest(dir.path()), Some(20));
    }
}

#[test]
fn a_damaged_step_is_made_again_and_does_not_count_as_kept() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    checkpoint(&checkpoints, 10).unwrap();
    let last = checkpoint(&checkpoints, 20).unwrap();
    fs::write(last.dir.join("weights"), "weights at 21").unwrap();

    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    assert_eq!(checkpoints.newest().unwrap().checkpoint.unwrap().step, 10);
    checkpoint(&checkpoints, 30).unwrap();
    assert_eq!(listing(dir.path()).len(), 3, "10 and 30 are kept, 20 is evidence");

    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    fs::write(dir.path().join("step-00000030/weights"), "").unwrap();
    fs::remove_dir_all(dir.path().join("step-00000020")).unwrap();
    assert_eq!(checkpoints.newest().unwrap().checkpoint.unwrap().step, 10);
    checkpoint(&checkpoints, 20).unwrap();
    checkpoint(&checkpoints, 30).unwrap();
    assert_eq!(newest(dir.path()), Some(30));
}

#[test]
fn whichever_operation_fails_the_checkpoint_before_or_the_new_one_is_whole() {
    let mut k = 1;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
        checkpoint(&checkpoints, 10).unwrap();
        stage(&checkpoints, 15).unwrap();

        let failing = trial::Failing::on_this_thread(k);
        let result = checkpoint(&checkpoints, 20);
        let all_done = failing.operations() < k;
        drop(failing);

        let reopened = Checkpoints::open(dir.path(), recipe()).unwrap();
        let found = reopened.newest().unwrap();
        assert!(found.skipped.is_empty(), "operation {k} left a damaged checkpoint");
        let step = found.checkpoint.expect("one of the two is whole").step;
        if all_done {
            result.unwrap();
            assert_eq!(step, 20);
            break;
        }
        assert!(result.is_err(), "operation {k} failed in silence");
        assert!(step == 10 || step == 20);
        checkpoint(&reopened, 30).unwrap_or_else(|e| panic!("after operation {k} failed: {e}"));
        assert_eq!(newest(dir.path()), Some(30));
        k += 1;
    }
    assert!(k > 20, "two parts, a manifest and a collection have more operations than {k}");
}

#[test]
fn names_that_are_no_steps_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["step-", "step-5", "step-+0000005", "step-000000050", "other", "step-00000005.tmp"]
    {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join(MANIFEST), "{}").unwrap();
    }
    fs::write(dir.path().join("step-00000007"), "a file").unwrap();
    let checkpoints = Checkpoints::open(dir.path(), recipe()).unwrap();
    assert!(checkpoints.newest().unwrap().skipped.is_empty());
    assert_eq!(step_of("step-123456789"), Some(123_456_789));
}

#[test]
fn an_abort_at_any_point_leaves_a_whole_checkpoint() {
    // The child is this test binary, told by the environment to be the victim.
    if let Ok(dir) = std::env::var("STILLFLOW_TEST_VICTIM") {
        let checkpoints = Checkpoints::open(Path::new(&dir), recipe()).unwrap();
        let from = checkpoints.newest().unwrap().checkpoint.map_or(0, |c| c.step);
        for step in (from..from + 40).step_by(10) {
            checkpoint(&checkpoints, step + 10).unwrap();
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut before = None;
    for point in trial::POINTS {
        for n in [1, 2, 5] {
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["an_abort_at_any_point_leaves_a_whole_checkpoint", "--test-threads=1"])
                .env("STILLFLOW_TEST_VICTIM", dir.path())
                .env("STILLFLOW_ABORT", format!("{point}:{n}"))
                .output()
                .unwrap()
                .status;
            let found = Checkpoints::open(dir.path(), recipe()).unwrap().newest().unwrap();
            assert!(found.skipped.is_empty(), "{point}:{n} left a damaged checkpoint");
            let after = found.checkpoint.map(|c| c.step);
            assert!(after >= before, "{point}:{n} lost a checkpoint");
            // Four rounds have five manifests or collections only where there is something to collect.
            assert!(!status.success() || n == 5, "{point}:{n} was never reached");
            before = after;
        }
    }
    assert!(before > Some(100), "the runs went on where the one before stopped: {before:?}");
}
