/* SHA-256 (FIPS 180-4) of texts and descriptors, by libcrypto. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fs.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/workspace_internal.h"

static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;

/* Without reading the system's configuration, which costs more than hashing a file. */
static void crypto_init(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

Stamp stamp_of(Str text) {
    pthread_once(&crypto_once, crypto_init);
    Stamp stamp = {.exists = true};
    EVP_Digest(text.ptr, text.len, stamp.sha256, NULL, EVP_sha256(), NULL);
    return stamp;
}

Stamp stamp_of_link(Str target) {
    Stamp stamp = stamp_of(target);
    stamp.is_link = true;
    return stamp;
}

/* Zeroes are passed over, so that a sparse file stays one. */
static bool copy_block(int fd, Str bytes, Err *err) {
    bool is_hole = bytes.len >= 4096 && !bytes.ptr[0] && memcmp(bytes.ptr, bytes.ptr + 1, bytes.len - 1) == 0;
    if (is_hole)
        return lseek(fd, (off_t)bytes.len, SEEK_CUR) >= 0 || err_set_errno(err, errno, "cannot write");
    return os_write_all(fd, bytes, err);
}

bool hash_fd(int fd, int copy_fd, unsigned char sha256[32], Err *err) {
    pthread_once(&crypto_once, crypto_init);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    if (!ok)
        err_set(err, ERR_INTERNAL, "SHA-256 is not available");
    char bytes[65536];
    uintmax_t size = 0;
    while (ok) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = err_set_errno(err, errno, "cannot read");
        if (n <= 0)
            break;
        EVP_DigestUpdate(ctx, bytes, (size_t)n);
        if (copy_fd >= 0)
            ok = copy_block(copy_fd, (Str){bytes, (size_t)n}, err);
        size += (size_t)n;
    }
    if (ok && copy_fd >= 0 && ftruncate(copy_fd, (off_t)size) != 0)
        ok = err_set_errno(err, errno, "cannot write");
    if (ok)
        EVP_DigestFinal_ex(ctx, sha256, NULL);
    EVP_MD_CTX_free(ctx);
    return ok;
}

bool file_copy(int in, int out, unsigned char sha256[32], Err *err) {
    if (ioctl(out, FICLONE, in) == 0)
        return hash_fd(out, -1, sha256, err);
    return hash_fd(in, out, sha256, err);
}

void hash_hex(const unsigned char sha256[32], char out[65]) {
    for (int i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[sha256[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[sha256[i] & 15];
    }
    out[64] = 0;
}

bool hash_parse(Str hex, unsigned char sha256[32]) {
    if (hex.len != 64)
        return false;
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        const char *high = memchr(DIGITS, hex.ptr[2 * i], 16), *low = memchr(DIGITS, hex.ptr[2 * i + 1], 16);
        if (!high || !low)
            return false;
        sha256[i] = (unsigned char)((high - DIGITS) << 4 | (low - DIGITS));
    }
    return true;
}

bool stamp_eq(Stamp a, Stamp b) {
    return a.exists == b.exists &&
           (!a.exists || (a.is_link == b.is_link && memcmp(a.sha256, b.sha256, sizeof a.sha256) == 0));
}
