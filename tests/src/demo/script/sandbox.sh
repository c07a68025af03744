# Runs a program in a root folder of its own: the machine's programs read-only, a copy of /etc, everything else empty and
# in memory. The caller has made the user, mount, PID and network namespaces.
#
# Arguments: folder with what the program needs (shown as /demo), path at which /demo/repository is shown as well, the
# command.
set -eu
stage=$1 repository=$2
shift 2
umask 022

mount --make-rprivate /
root=$stage/root
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"

for top in bin sbin lib lib32 lib64 libx32 usr nix opt; do
    if [ -L "/$top" ]; then
        cp -P "/$top" "$top"
    elif [ -d "/$top" ]; then
        mkdir "$top"
        mount --rbind "/$top" "$top"
    fi
done

# Every mount of them, as far as the person could write to it. Flags that the machine has set have to stay.
while read -r _ _ _ _ point _; do
    point=$(printf '%b' "$point")
    case $point in
    "$root"/*)
        mount -o remount,bind,ro,nosuid,nodev "$point" 2>/dev/null || [ ! -w "$point" ] ||
            { echo "${point#"$root"} cannot be made read-only for the sandbox" >&2 && exit 1; }
        ;;
    esac
done </proc/self/mountinfo

# What the person may not read is left out.
mkdir etc
cp -R -P --preserve=mode /etc/. etc 2>/dev/null || true
chmod -R u+rwX etc 2>/dev/null || true

mkdir -p proc dev tmp run var/tmp home root demo ".$repository"
chmod 1777 tmp var/tmp
ln -s ../run var/run
mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mount --bind "$stage/shown" demo
mount -o remount,bind,ro demo
mount --bind "$stage/shown/repository" ".$repository"

mkdir .machine
pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
# Not in the place of this shell, which is process 1 here and reaps what is left without a parent. A process of a container
# that nobody reaps would keep that container from ending.
code=0
"$@" || code=$?
exit "$code"
