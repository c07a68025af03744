# Becomes the first process of a container: runs as root of new mount, PID and UTS namespaces (of a new user namespace,
# where the kubelet double is not root), shows the programs of the host, the image's files and the volumes, nothing else,
# and gives way to the container's command.
#
# Arguments: the container's root folder, the pod's name, the file for the PID, the file with the mounts, the command.
set -eu
root=$1 name=$2 pid_file=$3 mounts=$4
shift 4

# The /proc that is still mounted is the host's, so this is the PID that the host knows.
read -r pid _ </proc/self/stat
exec {told}>"$pid_file"

# Where neither is allowed the host's name stays; the webhook names the agent after the pod anyway.
hostname "$name" 2>/dev/null || (echo "$name" >/proc/sys/kernel/hostname) 2>/dev/null || true
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"

# Shows a folder of the host below a layer that has what the image brings there and takes what is written. Folders with
# owners that this namespace does not know can be written to only where the layer has a folder of its own.
layer() {
    local layer="${root%/*}/layer-$1"
    [ -n "${LAYERED-}" ] || [ -d "$1" ] || return 1
    # A lower layer does not show what is mounted below it.
    ! grep -q " /$1/" /proc/self/mountinfo || return 1
    mkdir -p "$layer/upper" "$layer/work" "$1"
    cp -a "$1/." "$layer/upper"
    if [ "$1" = usr ]; then
        mkdir -p "$layer"/upper/{bin,lib,sbin,share,local/{bin,etc,lib,sbin,share/ca-certificates}}
    fi
    mount -t overlay overlay -o "lowerdir=/$1,upperdir=$layer/upper,workdir=$layer/work,userxattr" "$1" 2>/dev/null
}

for top in bin sbin lib lib32 lib64 libx32 usr etc nix opt; do
    if [ -L "/$top" ]; then
        cp -P "/$top" "$top"
    elif [ -d "/$top" ]; then
        ! layer "$top" || continue
        mkdir -p "$top"
        mount --rbind "/$top" "$top"
        # An unprivileged user may not change the flags of the host's mounts, and may not write there either.
        mount -o remount,bind,ro "$top" 2>/dev/null || [ ! -w "/$top" ]
    fi
done

mkdir -p proc dev/shm
mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr

while IFS=$'\t' read -r mode host path; do
    mkdir -p "$root${path%/*}"
    if [ -d "$host" ]; then
        mkdir -p "$root$path"
    elif [ ! -e "$root$path" ]; then
        : >"$root$path"
    fi
    mount --bind "$host" "$root$path"
    [ "$mode" = rw ] || mount -o remount,bind,ro "$root$path"
done <"$mounts"

mkdir -p .host
pivot_root . .host
cd /
umount -l /.host
rmdir /.host
# Now others may enter.
printf '%s\n' "$pid" >&"$told"
exec {told}>&-
exec "$@"
