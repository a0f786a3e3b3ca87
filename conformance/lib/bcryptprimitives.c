/* bcryptprimitives.dll, which Rust's standard library takes random bytes from and Wine lacks before version 9.
 * For tests under Wine; Windows has its own. Built by conformance/targets. */

/* RtlGenRandom: advapi32 exports it under this name. */
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *buffer, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, unsigned long long length)
{
    while (length > 0) {
        unsigned long part = length < 0x10000 ? (unsigned long)length : 0x10000;
        if (!SystemFunction036(buffer, part)) {
            return 0;
        }
        buffer += part;
        length -= part;
    }
    return 1;
}
