//! How much memory there is: the machine's, or what a container leaves of it.

use std::path::Path;

/// What is taken of it where nothing else is said, and how much that is at most.
const SHARE: u64 = 4;
const DEFAULT_MAX: u64 = 2 << 30;

/// How much memory spans may take where nobody says it: a quarter of what there is, 2 GiB at most.
pub(crate) fn default_bytes() -> u64 {
    there_is().map_or(DEFAULT_MAX, |bytes| bytes / SHARE).min(DEFAULT_MAX)
}

/// How much there is for this process, if anything tells.
pub(crate) fn there_is() -> Option<u64> {
    of_machine(Path::new("/"))
}

/// The least of what the machine has and of what each group of processes that this one is in may take.
/// `None` if nothing tells.
fn of_machine(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path.trim_start_matches('/'))).ok();
    let machine = read("proc/meminfo").as_deref().and_then(total_of);
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let mut limits: Vec<u64> = machine.into_iter().collect();
    for group in groups.lines() {
        // A number, the controllers, and a path: `0::/system.slice/sigyn.service`.
        let mut words = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (words.next(), words.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be that of the host, and what is mounted is its end.
        for group in Path::new(path).ancestors().chain([Path::new("/")]) {
            let group = group.strip_prefix("/").unwrap_or(group);
            let text = read(&format!("{mount}/{}/{file}", group.display()));
            // `max` is no limit, and neither is a number that no machine has.
            limits.extend(text.and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

/// The figure of `MemTotal: 16384 kB`.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 16 GiB on which these files are.
    fn check(files: &[(&str, &str)], expected: u64) {
        let root = tempfile::tempdir().unwrap();
        let machine = ("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\n");
        for (path, text) in [machine].iter().chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(of_machine(root.path()), Some(expected), "{files:?}");
    }

    #[test]
    fn the_least_limit_counts() {
        const GIB: u64 = 1 << 30;
        check(&[], 16 * GIB);
        let unified = ("proc/self/cgroup", "0::/a/b\n");
        check(&[unified], 16 * GIB);
        let max = ("sys/fs/cgroup/a/b/memory.max", "max\n");
        check(&[unified, max], 16 * GIB);
        let above = ("sys/fs/cgroup/a/memory.max", "1073741824\n");
        check(&[unified, max, above], GIB);
        // What a container sees of itself.
        check(&[unified, ("sys/fs/cgroup/memory.max", "2147483648\n")], 2 * GIB);
        let old = ("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/1\n");
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        check(&[old, none], 16 * GIB);
        let own = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "536870912\n");
        check(&[old, none, own], GIB / 2);
    }

    #[test]
    fn what_tells_nothing_is_no_limit() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_machine(root.path()), None);
        assert_eq!(total_of("MemTotal: much kB"), None);
        assert!((1..=DEFAULT_MAX).contains(&default_bytes()));
    }
}
