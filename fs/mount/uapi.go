package mount

// Constants of the FUSE protocol (linux/fuse.h, kernel 6.9) that neither
// x/sys nor go-fuse exports.
const (
	opInit = 26

	sizeInHeader  = 40
	sizeInitIn    = 64
	sizeOutHeader = 16
	sizeInitOut   = 64

	protoMajor = 7
	// protoMinor is the newest protocol whose layouts we know; 7.40 brought
	// passthrough.
	protoMinor = 40

	flagAsyncRead         = 1 << 0
	flagAtomicTrunc       = 1 << 3
	flagBigWrites         = 1 << 5
	flagAsyncDIO          = 1 << 15
	flagParallelDirOps    = 1 << 18
	flagMaxPages          = 1 << 22
	flagInitExt           = 1 << 30
	flagExpireOnly        = 1 << 35
	flagDirectIOAllowMmap = 1 << 36
	flagPassthrough       = 1 << 37
	flagResend            = 1 << 39

	notifyInvalInode = 2
	notifyInvalEntry = 3
	notifyResend     = 7

	expireOnly = 1 << 0

	// _IOW(229, 1, struct fuse_backing_map) and _IOW(229, 2, uint32_t).
	iocBackingOpen  = 0x4010e501
	iocBackingClose = 0x4004e502
)
